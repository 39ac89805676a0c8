"""YAML with positions, without the traps of the format."""
