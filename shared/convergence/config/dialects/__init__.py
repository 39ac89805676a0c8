"""Older and wider forms of pipeline files, normalised."""
