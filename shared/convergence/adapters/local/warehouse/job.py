"""One piece of work on the DuckDB database: its cursor, its transactions, and how it is stopped."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.parses import Parses
from convergence.adapters.local.warehouse.verdicts import Verdicts, may_define
from convergence.errors import StepFailed, Transient

if TYPE_CHECKING:
    import duckdb


class Answer(Protocol):
    """The result of a statement, valid until the job's next statement."""

    @property
    def description(self) -> list[tuple[Any, ...]] | None:
        """Name and type of each column."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, None after the last."""

    def fetchmany(self, size: int = ...) -> list[Any]:
        """Return at most `size` rows."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""


class Job:
    """One piece of work on its own cursor. `check` is called between statements.

    `execute` is the only way to DuckDB, and takes one statement at a time.

    `has_defined` says that it created, altered or dropped tables, which others do not see before it commits.
    """

    def __init__(self, verdicts: Verdicts, parses: Parses) -> None:
        self.has_defined = False
        self._verdicts, self._parses = verdicts, parses
        self._version: int | None = None  # of the catalogue that the open transaction sees; None: not certain
        self._changes = self._has_temporary = False
        self._lock = threading.Lock()
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._cancelled = False
        self._begun_at: float | None = None
        self._expired_s = 0.0  # the limit that it exceeded

    def execute(self, sql: str, values: Mapping[str, Any] | None = None) -> Answer:
        """Run exactly one statement.

        Raises:
            StepFailed: the text is several statements for DuckDB's parser, or none; nothing ran.
            duckdb.Error: DuckDB refused the statement.
        """
        one = self._statement(sql)
        if may_define(one.type.name):
            self._begin_change(sql)
        elif one.type.name == "TRANSACTION":
            self._version = None
        return self._running.execute(one, dict(values or {}))

    def was_admitted(self, key: Hashable) -> bool:
        """Whether the second check has let the statement through for the catalogue that this transaction sees."""
        return self._version is not None and self._verdicts.has(self._version, key)

    def admit(self, key: Hashable) -> None:
        """Remember that it did, unless the catalogue may have changed."""
        if self._version is not None:
            self._verdicts.add(self._version, key)

    def _begin_change(self, sql: str) -> None:
        self._version = None
        if sql.startswith("CREATE TEMP"):
            self._has_temporary = True  # others do not see it; this job's statements are checked each time
        elif not self._changes:
            self._verdicts.begin_change()
            self._changes = True

    def _pin(self, version: int | None) -> None:
        """Take the transaction's snapshot; it is of `version` when that holds before and after."""
        self.execute(statement("pin"))
        certain = not self._has_temporary and version == self._verdicts.version
        self._version = version if certain else None

    def kind_of(self, sql: str) -> str:
        """Return DuckDB's name for the statement's kind, such as SELECT or INSERT. Raises like `execute`."""
        return self._statement(sql).type.name

    @property
    def _running(self) -> duckdb.DuckDBPyConnection:
        assert self._cursor is not None, "a job has a cursor while it runs"
        return self._cursor

    def _statement(self, sql: str) -> duckdb.Statement:
        known = self._parses.get(sql)
        if known is not None:
            return known
        statements = self._running.extract_statements(sql)
        if len(statements) != 1:
            raise StepFailed(f"The warehouse runs one statement at a time; this text has {len(statements)}.")
        self._parses.add(sql, statements[0])
        return statements[0]

    @contextlib.contextmanager
    def on(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Use `cursor` inside and close it afterwards; whatever is still uncommitted is rolled back."""
        with self._lock:
            self._cursor, self._begun_at = cursor, time.monotonic()
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._cursor = None
            cursor.close()
            if self._changes:
                self._verdicts.end_change()

    @contextlib.contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[None]:
        """Commit what happens inside, or roll it back on any error. `read_only`: DuckDB refuses to write."""
        version = self._verdicts.version
        self.execute("BEGIN TRANSACTION READ ONLY" if read_only else "BEGIN TRANSACTION")
        try:
            self._pin(version)
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.check()
        self.execute("COMMIT")

    def check(self) -> None:
        """Raise `Transient` when the job's caller no longer waits, `StepFailed` beyond the time limit."""
        if self._cancelled:
            raise Transient("the statement was cancelled")
        if self.expired:
            raise self.too_late()

    @property
    def expired(self) -> bool:
        """Whether it ran longer than it may."""
        return self._expired_s > 0

    def too_late(self) -> StepFailed:
        """Return the error of a job that ran longer than it may."""
        return StepFailed(
            f"The statement ran longer than {self._expired_s:g} s, its time limit."
            " Read fewer rows or dates, or raise the limit."
        )

    def seconds_left(self, limit_s: float) -> float:
        """Return how long it may go on; all of the limit as long as it waits for its turn."""
        return limit_s if self._begun_at is None else self._begun_at + limit_s - time.monotonic()

    def expire(self, limit_s: float) -> None:
        """Interrupt the running statement because the job ran longer than it may."""
        with self._lock:
            self._expired_s = limit_s
            if self._cursor is not None:
                self._cursor.interrupt()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancelled

    def cancel(self) -> None:
        """Interrupt the running statement and refuse the next."""
        with self._lock:
            self._cancelled = True
            if self._cursor is not None:
                self._cursor.interrupt()
