"""Statements that DuckDB's parser has read: the same short text is parsed once, which is a fifth of a small query."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from convergence.errors import StepFailed

if TYPE_CHECKING:
    import duckdb

KEPT: Final = 512
LENGTH_MAX: Final = 4_096  # characters; longer texts are rarely sent twice


class Parses:
    """Safe for threads; DuckDB copies a statement before it runs it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, duckdb.Statement] = {}

    def one(self, connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
        """Return the one statement of a text. Raises `StepFailed` when it holds several or none."""
        with self._lock:
            known = self._known.get(sql)
        if known is not None:
            return known
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise StepFailed(f"The warehouse runs one statement at a time; this text is {len(statements)}.")
        if len(sql) <= LENGTH_MAX:
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known = {}
                self._known[sql] = statements[0]
        return statements[0]
