"""Runs local-bigquery, in its own environment: `python -P bigquery_process.py --host … --port …`.

Its store lets one of two commits fail that change the catalogue at the same time, such as two tables that are made, and
one of two jobs that take the same id. BigQuery does not; where it is busy it says `backendError`, and clients try
again. So does this process.
"""

from __future__ import annotations

from typing import Any, Final

from local_bigquery import errors  # type: ignore[import-not-found]  # another environment has it
from local_bigquery.cli import main  # type: ignore[import-not-found]  # as above

_BUSY: Final = ("Failed to commit", "Conflict on update")


def patient(from_duckdb: Any) -> Any:
    """Return the translation of DuckDB's errors with this one added."""

    def translated(error: Exception) -> Any:
        if any(text in str(error) for text in _BUSY):
            return errors.BigQueryError("backendError", str(error))
        return from_duckdb(error)

    return translated


if __name__ == "__main__":
    errors.STATUSES["backendError"] = (503, "UNAVAILABLE")
    errors.from_duckdb = patient(errors.from_duckdb)
    main()
