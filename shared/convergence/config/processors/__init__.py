"""How processors are named and loaded."""
