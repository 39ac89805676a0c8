"""Geometry of the pictures that templates draw: numbers only, never markup."""
