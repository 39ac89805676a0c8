"""What people and programs see of runs."""
