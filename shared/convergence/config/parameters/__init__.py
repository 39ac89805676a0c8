"""A run's parameters: declared, read, pinned."""
