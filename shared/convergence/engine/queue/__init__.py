"""Queued runs: how they get in, who is next, and what they wait for (docs/scheduling.md)."""
