"""Backfills: past days, slice by slice, as queued runs (docs/scheduling.md)."""
