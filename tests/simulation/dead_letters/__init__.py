"""Many dead letters in hostile worlds."""
