"""What is checked before a pipeline may run."""
