"""Old rows: how many there are, and their removal, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.domain.sql_names import checked
from convergence.ports.warehouse import ExpiredRows

ROWS_MAX: Final = 50_000  # per transaction: other writers wait for it


def count(job: Job, expired: Sequence[ExpiredRows]) -> int:
    """Return how many rows have expired."""
    return sum(_number(job, "count_expired", each, dataset) for each, dataset in _places(job, expired))


def remove_some(job: Job, expired: Sequence[ExpiredRows]) -> int:
    """Remove expired rows of the first table that has some; return how many, 0 if none are left."""
    for each, dataset in _places(job, expired):
        removed = _number(job, "delete_expired", each, dataset, most=ROWS_MAX)
        if removed:
            return removed
    return 0


def _places(job: Job, expired: Sequence[ExpiredRows]) -> Iterator[tuple[ExpiredRows, str]]:
    for each in expired:
        found = job.execute(statement("datasets_with"), {"table": checked(each.table, "table")}).fetchall()
        yield from ((each, str(row[0])) for row in found)


def _number(job: Job, name: str, expired: ExpiredRows, dataset: str, **values: int) -> int:
    names = {"table": duckdb_name(dataset, expired.table), "column": duckdb_name(expired.column)}
    row = job.execute(statement(name, **names), {"first": expired.first, **values}).fetchone()
    return 0 if row is None else int(row[0])
