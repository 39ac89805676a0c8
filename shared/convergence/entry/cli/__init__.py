"""The command `convergence`."""
