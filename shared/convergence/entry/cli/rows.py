"""Rows that steps report while they run, for displays."""

from __future__ import annotations


class Rows:
    """What steps reported while they ran: (rows, total, note) by (run, step)."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], tuple[int, int | None, str]] = {}

    def __call__(self, run_id: str, step_id: str, rows: int, total: int | None, note: str) -> None:
        """Keep the latest report of a step."""
        self.seen[run_id, step_id] = (rows, total, note)
