"""The kind of a statement, by its keywords: enough to tell a query from a change, even with templates in it."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

from convergence.config.sql.scanner import Piece, scan

StatementKind = Literal["query", "change", "other"]

_QUERIES: Final = frozenset({"SELECT", "WITH"})
_CHANGES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "DROP", "ALTER"})


def kind_of_statement(sql: str) -> StatementKind:
    """Return whether a statement returns rows or changes tables; "other" for scripts and what begins with a name."""
    for piece in _words(sql):
        if piece.text != "(":
            word = piece.text.upper()
            return "query" if word in _QUERIES else "change" if word in _CHANGES else "other"
    return "other"


def asserts(sql: str) -> bool:
    """True for a statement whose purpose is to fail: it calls ERROR(), or is an ASSERT."""
    pieces = _words(sql)
    called = any(left.text.upper() == "ERROR" and right.text == "(" for left, right in pairwise(pieces))
    return called or any(piece.kind == "word" and piece.text.upper() == "ASSERT" for piece in pieces)


def _words(sql: str) -> list[Piece]:
    return [piece for piece in scan(sql) if piece.kind not in {"blank", "comment"}]
