"""What all LLM providers share: price lists, charges, reconciliation."""
