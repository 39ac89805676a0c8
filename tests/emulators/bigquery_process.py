"""Runs local-bigquery, in its own environment: `python -P bigquery_process.py --host … --port …`.

Its store lets one of two commits fail that change the catalogue at the same time, such as two tables that are made, and
one of two jobs that take the same id. BigQuery does not; where it is busy it says `backendError`, and clients try
again. So does this process.

It keeps the rows of a script's last statement only, and runs no MERGE inside of a transaction. BigQuery keeps those of
each SELECT, as the result of a job of its own, and takes MERGE anywhere. So does this process.

It looks up one table by listing every table of every project that it ever met, at nearly a millisecond each and several
times a statement, so that each test makes the next one slower. This process reads the project's own catalogue instead,
and keeps open only the projects that were used last.

It does not know `mapTargetType` of Parquet: a map becomes a list of records with key and value, as in BigQuery.

Its parser knows OPTIONS in front of CLONE only. BigQuery has them behind it, and so does this process.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import duckdb
from local_bigquery import errors  # type: ignore[import-not-found]  # another environment has it
from local_bigquery.cli import main  # type: ignore[import-not-found]  # as above
from local_bigquery.engine import database  # type: ignore[import-not-found]  # as above
from local_bigquery.jobs import load, query, runner  # type: ignore[import-not-found]  # as above
from local_bigquery.sql.rules import ddl  # type: ignore[import-not-found]  # another environment has it
from sqlglot import exp

_BUSY: Final = ("Failed to commit", "Conflict on update")
_OPEN_PROJECTS: Final = 4
_RESULTS: Final = "emulator"  # the database that holds the rows of jobs: tables without any NOT NULL
_TEMPORARY: Final = "SELECT table_name FROM duckdb_tables() WHERE temporary"
_SCHEMAS: Final = "{0}.ducklake_schema AS s WHERE s.end_snapshot IS NULL"
_TABLES: Final = (
    "{0}.ducklake_table AS t JOIN {0}.ducklake_schema AS s USING (schema_id)"
    " {more} WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL"
)
_STATISTICS: Final = "LEFT JOIN {0}.ducklake_table_stats USING (table_id)"
_COLUMNS: Final = "JOIN {0}.ducklake_column AS c ON c.table_id = t.table_id AND c.end_snapshot IS NULL"
_VIEWS: Final = (
    "{0}.ducklake_view AS v JOIN {0}.ducklake_schema AS s USING (schema_id)"
    " WHERE v.end_snapshot IS NULL AND s.end_snapshot IS NULL"
)
# What a listing of DuckDB becomes for one project: `{0}` is the database with the catalogue of its tables.
_LISTINGS: Final = {
    "duckdb_schemas()": "SELECT s.schema_name FROM " + _SCHEMAS,
    "duckdb_tables()": "SELECT s.schema_name, t.table_name, coalesce(record_count, 0) AS estimated_size FROM "
    + _TABLES.replace("{more}", _STATISTICS),
    "duckdb_views()": "SELECT s.schema_name, v.view_name, false AS internal FROM " + _VIEWS,
    "duckdb_columns()": "SELECT s.schema_name, t.table_name, c.column_name, c.nulls_allowed AS is_nullable FROM "
    + _TABLES.replace("{more}", _COLUMNS)
    + " AND c.parent_column IS NULL",
}


def patient(from_duckdb: Any) -> Any:
    """Return the translation of DuckDB's errors with this one added."""

    def translated(error: Exception) -> Any:
        if any(text in str(error) for text in _BUSY):
            return errors.BigQueryError("backendError", str(error))
        return from_duckdb(error)

    return translated


class Projects:
    """The projects that are open, the last used one last, and what is in one of them."""

    def __init__(self, attach: Callable[[str], None], fetch: Callable[..., Any], objects: Callable[..., Any]) -> None:
        self._attach, self._fetch, self._objects = attach, fetch, objects
        self._open: dict[str, None] = {}
        self._closed: set[str] = set()

    def attach(self, project: str) -> None:
        """Open a project; close the one that was not used for longest."""
        self._attach(project)
        self._closed.discard(project)
        self._open.pop(project, None)
        self._open[project] = None
        if len(self._open) > _OPEN_PROJECTS:
            oldest = next(iter(self._open))
            self._open.pop(oldest)
            self._closed.add(oldest)
            database._attached.discard(oldest)  # noqa: SLF001 - it has no other place to reach in
            database.execute(f"DETACH {database.quote(oldest)}")

    def fetch(self, sql: str, params: list[Any] | None = None) -> Any:
        """Return rows; listings for one project, which `params` begin with, are read from its own catalogue."""
        listings = [name for name in _LISTINGS if name in sql]
        if not listings or not params:
            return self._fetch(sql, params)
        project = params[0]
        if project == _RESULTS:
            return [] if listings == ["duckdb_columns()"] else self._fetch(sql, params)
        if project in self._closed:
            self.attach(project)
        if project not in self._open:
            return self._fetch(sql, params)
        own = database.quote(f"__ducklake_metadata_{project}")
        name = "'" + project.replace("'", "''") + "'"
        for listing in listings:
            sql = sql.replace(listing, f"(SELECT {name} AS database_name, * FROM ({_LISTINGS[listing].format(own)}))")
        return self._fetch(sql, params)

    def objects(self, project: str, dataset: str, table: str | None = None) -> Any:
        """Return name, kind and count of rows of tables and views, or of one."""
        if project != _RESULTS or table is None:
            return self._objects(project, dataset, table)
        try:
            return [
                (table, "TABLE", self._fetch(f"SELECT count(*) FROM {database.quote(project, dataset, table)}")[0][0])
            ]
        except duckdb.CatalogException:
            return []


def with_map_entries(reader: Callable[..., str]) -> Callable[..., str]:
    """Return the reader of files that obeys `mapTargetType`."""

    def read(cursor: Any, files: str, config: Any, fields: Any) -> str:
        source = reader(cursor, files, config, fields)
        options = config.parquetOptions
        if config.sourceFormat != "PARQUET" or options is None or options.mapTargetType != "ARRAY_OF_STRUCT":
            return source
        found = cursor.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()
        maps = [f'"{name}"' for name, kind, *_ in found if kind.startswith("MAP(") and not kind.endswith("]")]
        entries = ", ".join(f"map_entries({name}) AS {name}" for name in maps)
        return f"(SELECT * REPLACE ({entries}) FROM {source})" if maps else source

    return read


class SnapshotStatements:
    """The pattern of statements on snapshots, with OPTIONS in front of CLONE."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def match(self, text: str) -> re.Match[str] | None:
        """Return CREATE or DROP, and what follows TABLE, as groups 1 and 2."""
        return self._pattern.match(re.sub(r"(?is)\s(CLONE\s.+?)\s(OPTIONS\s*\(.*\))\s*$", r" \2 \1", text))


class Cursor:
    """A cursor of DuckDB with other answers to some statements."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class InTransaction(Cursor):
    """It refuses to begin a transaction by itself: DuckDB would abort the one that is open."""

    def execute(self, sql: str, *arguments: Any) -> Any:
        if sql == "BEGIN":
            raise duckdb.TransactionException("a transaction is open")
        return self._cursor.execute(sql, *arguments)


class Fresh(Cursor):
    """It knows that a new cursor has no temporary tables: DuckDB would list all others too."""

    def sql(self, sql: str, **options: Any) -> Any:
        return self._cursor.sql("SELECT '' LIMIT 0" if sql == _TEMPORARY else sql, **options)


def on_fresh_cursors(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the execution of a query that looks for temporary tables in sessions only."""

    def executed(cursor: Any, *arguments: Any, session: Any = None, **options: Any) -> Any:
        return execute(cursor if session else Fresh(cursor), *arguments, session=session, **options)

    return executed


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
    query.execute = on_fresh_cursors(query.execute)
    projects = Projects(database.attach, database.fetch, database.objects)
    database.attach, database.fetch, database.objects = projects.attach, projects.fetch, projects.objects
    load._reader = with_map_entries(load._reader)  # noqa: SLF001 - it has no setting for its reader
    ddl.SNAPSHOT = SnapshotStatements(ddl.SNAPSHOT)
    errors.STATUSES["backendError"] = (503, "UNAVAILABLE")
    errors.from_duckdb = patient(errors.from_duckdb)
    main()
