"""`convergence dead-letters`: what failed for good, and what becomes of it."""
