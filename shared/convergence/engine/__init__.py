"""The engine: one verb, one file."""
