"""Anthropic: usage, cost, prices."""
