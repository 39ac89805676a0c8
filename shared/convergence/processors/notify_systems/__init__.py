"""Notifications of how a run ended."""
