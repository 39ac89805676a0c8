"""Templates in SQL."""
