"""Retention: remove what is done with for long enough, a little at a time (docs/operations.md)."""
