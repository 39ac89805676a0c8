"""Schedules: which runs are due, and who may change what (docs/scheduling.md)."""
