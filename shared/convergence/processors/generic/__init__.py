"""Processors that belong to no provider."""
