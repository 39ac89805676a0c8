"""`convergence schedule`."""
