"""`convergence demo --all`: every shipped pipeline, in a process of its own."""
