"""`convergence demo`."""
