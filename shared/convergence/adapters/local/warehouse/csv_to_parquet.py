"""A CSV file becomes a Parquet file with types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.errors import SchemaMismatch

_TYPES: Final[Mapping[str, str]] = {
    "STRING": "VARCHAR",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DECIMAL": "DECIMAL(38, 14)",
}


def csv_copy(csv: Path, columns: Mapping[str, str], file: Path) -> str:
    """Return the statement; every value is read as text first, so that no digit is lost."""
    values = ", ".join(
        f"CAST({duckdb_name(name)} AS {_TYPES[kind]}) AS {duckdb_name(name)}" for name, kind in columns.items()
    )
    texts = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in columns)
    words = {"values": values, "csv": quoted(str(csv)), "columns": f"{{{texts}}}", "file": quoted(str(file))}
    return statement("csv_to_parquet", **words)


def convert(job: Job, copy: str) -> None:
    """Run it. Raises `SchemaMismatch` for a value that is not of its column's type."""
    import duckdb

    try:
        job.execute(copy)
    except duckdb.ConversionException as error:
        raise SchemaMismatch(f"the file cannot be Parquet: {str(error).splitlines()[0]}") from error
