"""Documents in one SQLite file (WAL), with group commit.

Commits that wait at the same moment share one SQLite transaction, so forty concurrent steps cost one journal
write. SQLite runs on the event loop's thread on purpose: a statement takes microseconds and an fsync (only with
`synchronous=FULL`) 0.2 ms, while handing work to a thread and back costs about as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal

import orjson

from convergence.adapters.cursors import cursor as cursor_of
from convergence.adapters.cursors import place
from convergence.adapters.local.documents.indexes import FileIndexes
from convergence.adapters.local.documents.opening import StatePath, open_as_writer, open_read_only
from convergence.adapters.local.documents.query import Query
from convergence.adapters.local.documents.recent import Key, Recent, Stored
from convergence.adapters.local.documents.writes import Encoded, conflict, encoded, holds, patched, split
from convergence.errors import Conflict, StorageFault, StorageLocked
from convergence.ports.clock import Clock
from convergence.ports.documents import (
    Create,
    Delete,
    Document,
    Index,
    Order,
    Page,
    Replace,
    Where,
    Write,
)

_GET: Final = "SELECT version, body FROM documents WHERE collection = ? AND id = ?"
_INSERT: Final = "INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?)"
_UPDATE: Final = "UPDATE documents SET version = ?, body = ? WHERE collection = ? AND id = ? AND version = ?"
_DELETE: Final = "DELETE FROM documents WHERE collection = ? AND id = ?"
_ALONE_MIN: Final = 3  # consecutive groups of one, after which a commit no longer waits for others
_LOOK_AROUND: Final = 16  # but for every sixteenth

Joined = tuple[list[Encoded], asyncio.Future[list[int]] | None]


class SqliteDocuments:
    """`Documents` on SQLite. One process writes; others may open the file with `read_only=True`.

    Reads and writes of one document are O(log n); a query is O(log n + page) when an `Index` fits it.
    """

    def __init__(
        self,
        path: StatePath,
        clock: Clock,
        *,
        indexes: Sequence[Index] = (),
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        read_only: bool = False,
    ) -> None:
        self._clock = clock
        self._read_only = read_only
        self._last_version = 0
        self._failed: str | None = None  # the error of the last write; None if it succeeded
        self._group: list[Joined] = []
        self._recent = Recent()
        self._alone = 0  # groups of one in a row
        self._indexes = FileIndexes(indexes)
        self.connection = (
            open_read_only(path, self._indexes) if read_only else open_as_writer(path, self._indexes, synchronous)
        )
        self._execute = self.connection.execute

    def close(self) -> None:
        """Close the file; pending commits are refused."""
        self.connection.close()

    async def get(self, path: str) -> Document | None:
        """Return the document, or None."""
        row = self._read(split(path))
        return None if row is None else Document(path, row[0], partial(orjson.loads, row[1]))

    def _read(self, key: Key) -> Stored | None:
        """Return (version, body). Only this process writes, so what it wrote or read last is what is stored."""
        known = self._recent.get(key)
        if known is not None:
            return known
        row: Stored | None = self._fetch(_GET, key).fetchone()
        if row is not None and not self._read_only:
            self._recent.put(key, row)
        return row

    def _fetch(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._execute(sql, values)
        except sqlite3.Error as error:
            raise StorageFault(f"state could not be read: {error}") from error

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        """Return one entry for each path. One moment: nothing else runs on this thread meanwhile."""
        if self._read_only:  # another process writes: hold its changes back for the length of the reads
            self._execute("BEGIN")
        try:
            return [await self.get(path) for path in paths]
        finally:
            if self._read_only:
                self._execute("COMMIT")

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        """Apply all writes or none, in one transaction with all other commits of this moment.

        The first call waits one turn of the event loop, then writes for all that joined meanwhile. When none joined
        the last few times, it waits only now and then, to see whether others commit again.
        """
        if self._read_only:
            raise StorageLocked("this process opened the state read-only; another process writes to it")
        prepared = [encoded(write) for write in writes]  # what is not JSON is refused by itself, before it joins others
        if self._group:
            joined: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            self._group.append((prepared, joined))
            return await joined
        self._group.append((prepared, None))
        try:
            if self._alone < _ALONE_MIN or self._alone % _LOOK_AROUND == 0:
                await asyncio.sleep(0)
        finally:  # cancelled or not: those who joined wait for this
            group, self._group = self._group, []
            outcomes = self._write(group)
        first = outcomes[0]
        if isinstance(first, Exception):
            raise first
        return first

    def _write(self, group: Sequence[Joined]) -> list[list[int] | Exception]:
        outcomes: list[list[int] | Exception] = []
        self._alone = self._alone + 1 if len(group) == 1 else 0
        alone = len(group) == 1 and len(group[0][0]) == 1  # one statement is a transaction by itself
        try:
            if not alone:
                self._execute("BEGIN IMMEDIATE")
            outcomes.extend(self._apply(writes) for writes, _ in group)
            if not alone:
                self._execute("COMMIT")
            self._failed = None
        except Exception as error:  # noqa: BLE001 - after any error no caller may be left waiting, no transaction open
            outcomes = [self._undone(error)] * len(group)
        for (_, joined), outcome in zip(group, outcomes, strict=True):
            if joined is None or joined.done():
                continue
            if isinstance(outcome, Exception):
                joined.set_exception(outcome)
            else:
                joined.set_result(outcome)
        return outcomes

    async def trouble(self) -> str | None:
        """Return the reason nothing can be written; when the last write failed, another is tried first."""
        if self._failed is not None:
            with contextlib.suppress(sqlite3.Error):
                self._execute("PRAGMA user_version = 0")  # written, though it changes nothing
                self._failed = None
        return self._failed

    def compact(self) -> None:
        """Give the space of removed documents back to the file system; a copy of the file is made on the way.

        Raises:
            StorageFault: the disk has no room for the copy, say; nothing has changed then.
        """
        try:
            self._execute("VACUUM")
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StorageFault(f"the state could not be compacted: {error}") from error

    def _undone(self, error: Exception) -> Exception:
        if self.connection.in_transaction:
            self._execute("ROLLBACK")
        self._recent.clear()
        if not isinstance(error, sqlite3.Error):
            return error
        self._failed = f"state could not be written: {error}"
        return StorageFault(self._failed)

    def _apply(self, writes: Sequence[Encoded]) -> list[int] | Conflict:
        """Check every precondition, then write: a refused commit leaves no trace; the others are written."""
        if len(writes) > 1:
            for write, key, _ in writes:
                row = self._read(key)
                if not holds(write, None if row is None else row[0]):
                    return conflict(write)
        versions: list[int] = []
        for write, key, body in writes:
            version = self._write_one(write, key, body)
            if version is None:
                assert len(writes) == 1, "a checked precondition failed inside one transaction"
                return conflict(write)
            versions.append(version)
        return versions

    def _write_one(self, write: Write, key: Key, body: str) -> int | None:
        """Write conditionally; return the new version, or None when the precondition does not hold."""
        version = self._next_version()
        if isinstance(write, Replace):
            done = self._execute(_UPDATE, (version, body, *key, write.version))
        elif isinstance(write, Create):
            done = self._execute(_INSERT, (*key, version, body))
        elif isinstance(write, Delete):
            row = self._read(key)
            if not holds(write, None if row is None else row[0]):
                return None
            self._execute(_DELETE, key)
            self._recent.drop(key)
            return 0
        else:
            row = self._read(key)
            if row is None:
                return None
            body = orjson.dumps(patched(orjson.loads(row[1]), write)).decode()
            done = self._execute(_UPDATE, (version, body, *key, row[0]))
        if done.rowcount != 1:
            return None
        self._recent.put(key, (version, body))
        return version

    def _next_version(self) -> int:
        """Microseconds since 1970, always growing: a document that is deleted and made again never repeats one."""
        self._last_version = max(self._last_version + 1, int(self._clock.now().timestamp() * 1e6))
        return self._last_version

    async def query(
        self,
        collection: str,
        *,
        where: Sequence[Where] = (),
        order: Sequence[Order] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return a page, by keyset: a cursor stays right while documents come and go."""
        query = Query(collection, tuple(where), tuple(order))
        after = None if cursor is None else place(cursor, len(order) + 1)
        sql, values = query.select(limit + 1, after, self._indexes.serving(query))
        rows = self._fetch(sql, values).fetchall()
        documents = [Document(f"{collection}/{row[0]}", row[1], partial(orjson.loads, row[2])) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page(documents, None)
        last = rows[limit - 1]
        return Page(documents, cursor_of([*last[3:], last[0]]))

    async def count(self, collection: str, *, where: Sequence[Where] = ()) -> int:
        """Count matching documents."""
        query = Query(collection, tuple(where), ())
        sql, values = query.count(self._indexes.serving(query))
        (number,) = self._fetch(sql, values).fetchone()
        return int(number)
