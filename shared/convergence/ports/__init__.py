"""What the core needs from the outside: Protocols, each with its contract in the docstring."""
