"""Price lists: their rows, how they are made from published ones, and what a newer one changes."""
