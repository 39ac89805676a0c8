"""Older names of `destination.write_mode`: those of BigQuery and of earlier dialects."""

from __future__ import annotations

from typing import Any, Final

_OLDER: Final = {
    "write_truncate": "overwrite",
    "truncate": "overwrite",
    "replace": "overwrite",
    "write_append": "append",
    "upsert": "merge",
}


def current_mode(value: Any) -> Any:
    """Return today's name of a mode; what is not an older name stays as it is."""
    return _OLDER.get(value.lower(), value) if isinstance(value, str) else value
