"""What the outside must be able to do: Protocols, each with its contract in the docstring."""
