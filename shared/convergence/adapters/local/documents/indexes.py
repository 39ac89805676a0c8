"""The declared indexes in the SQLite file: brought up to date by a writer, and which of them serves a query.

SQLite chooses badly on its own: it has no statistics, and takes the unique index and sorts. So each query names its
index. A document without the index's last field is in no index, as no query that the index serves would return it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from convergence.adapters.local.documents.query import Query, collection_literal, extract, is_there
from convergence.ports.documents import Index

_PREFIX: Final = "documents_"
_STORED: Final = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'documents' AND sql IS NOT NULL"
)


def index_name(index: Index) -> str:
    """Return the name of an index in the file."""
    return _PREFIX + "_".join((index.collection, *index.fields)).replace("/", "_").replace(".", "_")


def index_statement(index: Index) -> str:
    """Return the statement that builds an index, exactly as SQLite keeps it."""
    *equal, last = (extract(field) for field in index.fields)
    columns = ", ".join([*equal, f"{last} DESC" if index.descending else last, "id"])
    where = f"collection = {collection_literal(index.collection)} AND {is_there(index.fields[-1])}"
    return f"CREATE INDEX {index_name(index)} ON documents ({columns}) WHERE {where}"


class FileIndexes:
    """The indexes of one open file."""

    def __init__(self, declared: Sequence[Index]) -> None:
        self._usable = tuple(declared)

    def build(self, db: sqlite3.Connection) -> None:
        """Make the file's indexes those declared; drop all others, including older forms with the same name."""
        expected = {index_name(index): index_statement(index) for index in self._usable}
        stored: dict[str, str] = dict(db.execute(_STORED).fetchall())
        if stored == expected:
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            for name, sql in stored.items():
                if name.startswith(_PREFIX) and expected.get(name) != sql:
                    db.execute(f"DROP INDEX {name}")
            for name, sql in expected.items():
                if stored.get(name) != sql:
                    db.execute(sql)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def find(self, db: sqlite3.Connection) -> None:
        """Use what the file has: a reader may run next to a writer of another release."""
        stored: dict[str, str] = dict(db.execute(_STORED).fetchall())
        self._usable = tuple(index for index in self._usable if stored.get(index_name(index)) == index_statement(index))

    def serving(self, query: Query) -> str | None:
        """Return the name of the index with the most fields that serves the query; None when none does."""
        fitting = [index for index in self._usable if _fits(index, query)]
        best = max(fitting, key=lambda index: (len(index.fields), index.descending == query.descending), default=None)
        return None if best is None else index_name(best)


def _fits(index: Index, query: Query) -> bool:
    if index.collection != query.collection:
        return False
    *first, last = index.fields
    asked = {where.field: where.operator for where in query.where}
    if any(asked.get(field) != "==" for field in first):
        return False
    if query.order:
        return [order.field for order in query.order] == [last]
    return asked.get(last, "array-contains") != "array-contains"
