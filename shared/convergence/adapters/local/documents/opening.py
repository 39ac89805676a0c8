"""The SQLite file of the documents: opened by its one writer, or beside it to read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from convergence.adapters.local.documents.indexes import FileIndexes
from convergence.errors import StorageUnusable

StatePath = Path | Literal[":memory:"]

# With rowids: new documents share a page at the end of the table, however random their ids are, so a commit of
# many writes few pages (measured: half the time of WITHOUT ROWID).
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (collection, id)
)
"""
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = 'documents'"


def open_as_writer(path: StatePath, indexes: FileIndexes, synchronous: Literal["NORMAL", "FULL"]) -> sqlite3.Connection:
    """Open the file, made if it does not exist, and bring its table and indexes up to date.

    Raises:
        StorageUnusable: SQLite cannot open it; the message says what to do.
    """
    with _explained(path):
        connection = _connect(str(path), is_uri=False)
        for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "cache_size = -4000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_TABLE)
        indexes.build(connection)
    return connection


def open_read_only(path: StatePath, indexes: FileIndexes) -> sqlite3.Connection:
    """Open the file to read it while another process may write. Raises `StorageUnusable` as `open_as_writer`."""
    with _explained(path):
        connection = _connect(f"{Path(path).resolve().as_uri()}?mode=ro", is_uri=True)
        if connection.execute(_HAS_TABLE).fetchone() is None:
            connection.close()  # its first writer has only just created the file: it is still empty
            connection = _connect(":memory:", is_uri=False)
            connection.execute(_TABLE)
        indexes.find(connection)
    return connection


def _connect(target: str, *, is_uri: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(target, uri=is_uri, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


@contextmanager
def _explained(path: StatePath) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageUnusable(f"the state {path} cannot be opened: {error}. {_advice(Path(path), error)}") from error


def _advice(path: Path, error: sqlite3.Error) -> str:
    """Return what to do about a file that SQLite cannot open; even to read, it creates a file next to it."""
    folder = path.parent
    cannot_open = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
    if cannot_open and folder.is_dir() and not os.access(folder, os.W_OK):
        return (
            f"The data directory {folder} is read-only. Make it writable for this user, or use a copy of it with "
            "--data-dir."
        )
    return (
        "Check that its folder exists and is readable, and that its disk has room; restore it from a backup if it is "
        "damaged."
    )
