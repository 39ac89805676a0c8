"""Files at the places where they are delivered."""
