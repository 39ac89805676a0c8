"""The other files of a configs folder: their kinds, models and readers."""
