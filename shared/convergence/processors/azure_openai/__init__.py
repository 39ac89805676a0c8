"""Azure OpenAI: tokens from Azure Monitor, cost from Cost Management."""
