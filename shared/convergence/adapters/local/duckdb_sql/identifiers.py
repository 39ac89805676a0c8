"""Names in DuckDB's SQL: the one function that quotes them."""

from __future__ import annotations


def duckdb_name(*parts: str) -> str:
    """Return `"dataset"."table"` for DuckDB, whatever the parts contain."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
