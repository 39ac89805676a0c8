"""Retention in hostile worlds."""
