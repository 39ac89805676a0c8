"""The tables of the warehouse and their columns, cached until a table is defined."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.types import from_stored
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.errors import StepFailed, did_you_mean

Name = tuple[str, str]  # (dataset, table); the dataset of a temporary table is ''
Columns = tuple[tuple[str, SqlType], ...]


class TableCatalog:
    """Columns by table. A job that has defined tables itself looks again: its tables are not visible to others yet."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[Name, Columns] = {}

    def forget(self) -> None:
        """Tables were defined."""
        with self._lock:
            self._known = {}

    def columns(self, job: Job, names: Iterable[Name]) -> dict[Name, Columns]:
        """Return the columns of each table.

        Raises:
            StepFailed: there is no such table, with the nearest names.
        """
        known = {} if job.has_defined else self._known
        found: dict[Name, Columns] = {}
        for name in self._expanded(job, names):
            columns = known.get(name) or self._look_up(job, name)
            if not columns:
                raise StepFailed(
                    f"There is no table {'.'.join(name)}.{did_you_mean(name[1], self._tables(job, name[0]))}"
                )
            found[name] = columns
        if not job.has_defined:
            with self._lock:
                self._known.update({name: columns for name, columns in found.items() if name[0]})
        return found

    def _expanded(self, job: Job, names: Iterable[Name]) -> list[Name]:
        """Return the names, each `prefix*` replaced by the tables that begin so."""
        found: list[Name] = []
        for dataset, table in names:
            if not table.endswith("*"):
                found.append((dataset, table))
                continue
            matching = [(dataset, name) for name in self._tables(job, dataset) if name.startswith(table[:-1])]
            if not matching:
                raise StepFailed(f"No table of {dataset} begins with {table[:-1]!r}.")
            found += matching
        return found

    @staticmethod
    def _look_up(job: Job, name: Name) -> Columns:
        dataset, table = name
        query = statement("described_columns" if dataset else "temporary_columns")
        values = {"dataset": dataset, "table": table} if dataset else {"table": table}
        rows = job.execute(query, values).fetchall()
        return tuple((str(column), from_stored(str(kind), str(text))[0]) for column, kind, _, text in rows)

    @staticmethod
    def _tables(job: Job, dataset: str) -> list[str]:
        return [str(row[0]) for row in job.execute(statement("tables"), {"dataset": dataset}).fetchall()]
