"""Bills of AWS."""
