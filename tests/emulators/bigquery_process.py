"""Runs local-bigquery, in its own environment: `python -P bigquery_process.py --host … --port …`.

Its store lets one of two commits fail that change the catalogue at the same time, such as two tables that are made, and
one of two jobs that take the same id. BigQuery does not; where it is busy it says `backendError`, and clients try
again. So does this process.

It keeps the rows of a script's last statement only, and runs no MERGE inside of a transaction. BigQuery keeps those of
each SELECT, as the result of a job of its own, and takes MERGE anywhere. So does this process.
"""

from __future__ import annotations

from typing import Any, Final

import duckdb
from local_bigquery import errors  # type: ignore[import-not-found]  # another environment has it
from local_bigquery.cli import main  # type: ignore[import-not-found]  # as above
from local_bigquery.jobs import query, runner  # type: ignore[import-not-found]  # as above
from sqlglot import exp

_BUSY: Final = ("Failed to commit", "Conflict on update")


def patient(from_duckdb: Any) -> Any:
    """Return the translation of DuckDB's errors with this one added."""

    def translated(error: Exception) -> Any:
        if any(text in str(error) for text in _BUSY):
            return errors.BigQueryError("backendError", str(error))
        return from_duckdb(error)

    return translated


class InTransaction:
    """A cursor that refuses to begin a transaction by itself: DuckDB would abort the one that is open."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, *arguments: Any) -> Any:
        if sql == "BEGIN":
            raise duckdb.TransactionException("a transaction is open")
        return self._cursor.execute(sql, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class Results:
    """Where the rows of each SELECT of a script are, by the statistics of its job."""

    def __init__(self, run: Any, done: Any) -> None:
        self._run, self._done = run, done
        self._tables: dict[int, tuple[Any, Any]] = {}  # the statistics are kept, so that no other has their id

    def run(self, cursor: Any, tree: Any, context: Any, destination: Any, *options: Any) -> Any:
        """Run a statement; a SELECT of a script a second time, into a table of its own."""
        if isinstance(tree, exp.Transaction | exp.Commit | exp.Rollback):
            context.in_transaction = isinstance(tree, exp.Transaction)
        if isinstance(tree, exp.Merge) and getattr(context, "in_transaction", False):
            cursor = InTransaction(cursor)
        *_, scripted = options
        if destination is None or not scripted or not isinstance(tree, exp.Query):
            return self._run(cursor, tree, context, destination, *options)
        position = context.position
        own = destination.replace(tableId=f"{destination.tableId}_{len(self._tables)}")
        self._run(cursor, tree.copy(), context, own, *options)
        context.position = position
        statistics = self._run(cursor, tree, context, destination, *options)
        self._tables[id(statistics)] = (statistics, own)
        return statistics

    def done(self, job: Any, statistics: Any, error: Any = None) -> Any:
        """Return a job that ended, with the table of its rows."""
        _, own = self._tables.get(id(statistics.query), (None, None))
        if own is not None:
            config = job.configuration.query.replace(destinationTable=own)
            job = job.replace(configuration=job.configuration.replace(query=config))
        return self._done(job, statistics, error)


if __name__ == "__main__":
    results = Results(query._statement, runner._done)  # noqa: SLF001 - it has no other place to reach in
    query._statement, runner._done = results.run, results.done  # noqa: SLF001 - as above
    errors.STATUSES["backendError"] = (503, "UNAVAILABLE")
    errors.from_duckdb = patient(errors.from_duckdb)
    main()
