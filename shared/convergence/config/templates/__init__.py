"""Templates in values: patterns, compilation, names known at once and names known later."""
