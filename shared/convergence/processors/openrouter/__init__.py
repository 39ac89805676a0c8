"""OpenRouter: activity by day, model and endpoint."""
