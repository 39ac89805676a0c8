"""Running GoogleSQL statements: translated once, then executed with their values."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.results import with_whole_arrays
from convergence.adapters.local.duckdb_sql.types import duckdb_type, from_duckdb
from convergence.adapters.local.warehouse.catalog import TableCatalog
from convergence.adapters.local.warehouse.errors import is_ambiguous, misses_column, wrong_statement
from convergence.adapters.local.warehouse.fence import look_over, run_inside
from convergence.adapters.local.warehouse.job import Answer, Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.values import fetch
from convergence.errors import StepFailed
from convergence.ports.warehouse import QueryResult

if TYPE_CHECKING:
    import duckdb

    from convergence.adapters.local.duckdb_sql.column_bounds import Note
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.translate import Parsed, Translation

T = TypeVar("T")
MACRO: Final = re.compile(r"\bgooglesql\.\w{1,60}\(", re.IGNORECASE)
CACHED: Final = 1024
# BigQuery's logical sizes (pricing page, "data size calculation"); text, arrays and structs are a guess.
_WIDTH: Final = {"NUMERIC": 16, "BIGNUMERIC": 32, "BOOL": 1, "STRING": 24, "JSON": 64, "ARRAY": 64, "STRUCT": 64}


@dataclass(slots=True)
class Outcome:
    """What one statement did. Rows are tuples in the order of `columns`."""

    columns: tuple[tuple[str, SqlType], ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rows_affected: int = 0
    rows_deleted: int = 0  # of those affected
    tables: tuple[str, ...] = ()

    def as_result(self) -> QueryResult:
        """Return the port's form."""
        names = tuple(name for name, _ in self.columns)
        rows = [dict(zip(names, row, strict=True)) for row in with_whole_arrays(self.columns, self.rows)]
        return QueryResult(columns=names, rows=rows, rows_affected=self.rows_affected, tables=self.tables)


class Latest:
    """A cache of the latest used, safe for threads."""

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, Lock()
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached value of `key`, or create it."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                known: T = self._known[key]
                return known
        fresh = make()
        with self._lock:
            self._known[key] = fresh
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return fresh


class Statements:
    """Translates and runs statements. The same text in the same surroundings is translated once."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.catalog = TableCatalog()
        self._parsed, self._translated = Latest(CACHED), Latest(CACHED)

    def prepare(self, job: Job, sql: str, context: StatementContext) -> Translation:
        """Translate, or remember.

        Raises:
            StepFailed, Denied, InvalidInput: see `googlesql.translate`.
        """
        from convergence.adapters.local.duckdb_sql.translate import parse, translate

        context = context.of_any_run()
        parsed: Parsed = self._parsed.get((sql, context), lambda: parse(sql, context))
        catalog = self.catalog.columns(job, sorted(parsed.touched.existing))
        key = (sql, context, tuple(catalog.items()))
        return self._translated.get(key, lambda: translate(parsed, context, catalog))

    def run(self, job: Job, translation: Translation, values: Mapping[str, Any], rows_max: int) -> Outcome:
        """Run a translated statement on the job's cursor, in whatever transaction that is in."""
        import duckdb

        job.check()
        try:
            answer = self.execute(job, translation, values)
            if translation.is_query:
                columns, rows = fetch(answer, rows_max)
                _refuse_twins(columns)
                return Outcome(columns, rows, tables=translation.touched.names)
            affected, deleted = _affected(answer, translation)
        except duckdb.Error as error:
            named = self._missing_name(job, translation, values) if is_ambiguous(error) else None
            raise wrong_statement(named or error, translation.columns) from error
        if translation.defines:
            job.has_defined = True
            self.catalog.forget()
            if translation.creates is not None:
                _widen(job, translation.creates)
        return Outcome(rows_affected=affected, rows_deleted=deleted, tables=translation.touched.names)

    @staticmethod
    def execute(job: Job, translation: Translation, values: Mapping[str, Any]) -> Answer:
        """Run a translated statement behind its fence. Raises `Denied`, and what DuckDB raises."""
        given = {name: values[name] for name in translation.parameters}
        notes = _notes(job, translation)
        *first, last = translation.statements
        for place, sql in enumerate(first):
            run_inside(job, translation.fence, sql, given)
            _keep(job, notes, place)
        answer = run_inside(job, translation.fence, last, given)
        _keep(job, notes, len(first))
        return answer

    def explain(self, job: Job, translation: Translation, values: Mapping[str, Any]) -> None:
        """Let DuckDB resolve names and types without running anything."""
        import duckdb

        if translation.defines:
            return
        try:
            look_over(job, translation.fence, translation.sql, {name: values[name] for name in translation.parameters})
        except duckdb.Error as error:
            named = self._missing_name(job, translation, values) if is_ambiguous(error) else None
            raise wrong_statement(named or error, translation.columns) from error

    @staticmethod
    def _missing_name(job: Job, translation: Translation, values: Mapping[str, Any]) -> duckdb.Error | None:
        """Return DuckDB's error about a name, where it chose among the overloads of our macros before it looked for it.

        `row` takes anything, so names are all that is left to complain about.
        """
        import duckdb

        given = {name: values[name] for name in translation.parameters}
        try:
            look_over(job, translation.fence, MACRO.sub("row(", translation.sql), given)
        except duckdb.Error as error:
            return error if misses_column(error) else None
        return None

    def describe(
        self, job: Job, translation: Translation, values: Mapping[str, Any]
    ) -> tuple[tuple[str, SqlType], ...]:
        """Return the columns of a query without running it."""
        given = {name: values[name] for name in translation.parameters}
        look_over(job, translation.fence, translation.sql, given)
        described = job.execute(f"DESCRIBE {translation.sql}", given).fetchall()
        return tuple((str(row[0]), from_duckdb(str(row[1]))) for row in described)

    def define_empty(self, job: Job, translation: Translation) -> None:
        """Make the table of a statement without its rows."""
        rows = " WITH NO DATA" if translation.from_query else ""
        notes = _notes(job, translation)
        run_inside(job, translation.fence, translation.sql + rows, dict.fromkeys(translation.parameters))
        _keep(job, notes, 0)
        job.has_defined = True

    def estimate_bytes(self, job: Job, translation: Translation) -> int:
        """Return about how many bytes a statement reads: rows × the widths of all columns of its tables."""
        total = 0
        for (dataset, table), columns in self.catalog.columns(job, sorted(translation.touched.existing)).items():
            values = {"dataset": dataset, "table": table}
            found = job.execute(statement("table_rows"), values).fetchone()
            total += int(found[0] if found else 0) * sum(_WIDTH.get(kind.name, 8) for _, kind in columns)
        return total


def _notes(job: Job, translation: Translation) -> Sequence[Note]:
    """Return the comments of a statement; none where its table exists already and stays as it is."""
    return () if translation.unless_exists and _exists(job, translation.creates) else translation.notes


def _keep(job: Job, notes: Sequence[Note], place: int) -> None:
    """Store the bounds of the columns that the statement at this place has defined."""
    for _, comment in (each for each in notes if each[0] == place):
        job.execute(comment)


def _exists(job: Job, table: tuple[str, str] | None) -> bool:
    dataset, name = table or ("", "")
    values = {"dataset": dataset, "table": name} if dataset else {"table": name}
    return bool(job.execute(statement("columns" if dataset else "temporary_columns"), values).fetchall())


def _refuse_twins(columns: tuple[tuple[str, SqlType], ...]) -> None:
    """BigQuery refuses a result with two columns of one name; rows by name could not hold both."""
    names = [name.lower() for name, _ in columns]
    twin = next((name for name in names if names.count(name) > 1), None)
    if twin is not None:
        raise StepFailed(f"Two columns of the result are called {twin!r}. Give one of them an alias.")


def _widen(job: Job, table: tuple[str, str]) -> None:
    """Give the columns that a query made for a new table GoogleSQL types: DuckDB takes 32 bits for a literal 1."""
    dataset, name = table
    query = statement("columns" if dataset else "temporary_columns")
    values = {"dataset": dataset, "table": name} if dataset else {"table": name}
    for column, kind, *_ in job.execute(query, values).fetchall():
        expected = duckdb_type(from_duckdb(str(kind)))
        if expected != kind and "STRUCT" not in kind and "TUPLE" not in kind:
            words = {"table": duckdb_name(dataset or "temp", name), "column": duckdb_name(str(column))}
            job.execute(statement("set_type", **words, type=expected))


def _affected(answer: Answer, translation: Translation) -> tuple[int, int]:
    """Return how many rows a statement changed, and how many of them it deleted."""
    if translation.defines or not answer.description:
        return 0, 0
    if translation.merges:
        actions = [action for (action,) in answer.fetchall()]
        return len(actions), actions.count("DELETE")
    counted = answer.fetchone()
    affected = int(counted[0]) if counted and isinstance(counted[0], int) else 0
    return affected, affected if translation.removes else 0


def check_bytes(estimate: int, bytes_max: int | None) -> None:
    """Raise `StepFailed` when a statement would read more than it may."""
    if bytes_max is not None and estimate > bytes_max:
        raise StepFailed(
            f"The statement would read about {estimate:,} bytes, its limit is {bytes_max:,}."
            " Select fewer columns or dates, or raise the limit."
        )
