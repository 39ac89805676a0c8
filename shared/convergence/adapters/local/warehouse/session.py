"""The one DuckDB database of a process: who may use it, on which thread, and how a job is stopped.

Concurrency: all writers share one thread, so a second writer waits and two never conflict. Readers have threads of
their own and see the last committed state (MVCC). Each job has its own cursor, hence its own transaction and temp
tables. A cancelled job is interrupted and has rolled back before the cancellation continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from convergence.adapters.local.warehouse.errors import cannot_open, damaged, ends_the_database, translate_error
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.adapters.local.warehouse.parses import Parses
from convergence.adapters.local.warehouse.time_limit import limited
from convergence.adapters.local.warehouse.verdicts import Verdicts
from convergence.errors import ConvergenceError, StepFailed, StorageFault, StorageUnusable, Transient

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

READERS: Final = 2
# Rows that a table stores together. The memory that DuckDB may use here does not hold its own 122,880 rows of a hundred
# columns: an insert then copies them twice. Chunks of files have groups of this size too, stored one by one.
GROUP_ROWS: Final = 20_480
CHECKPOINT_AT: Final = "4MiB"  # of journal; until then replaced slices stay in memory and in the file (default: 16 MiB)


_CATALOG: Final = "warehouse"
_USE: Final = f"USE {_CATALOG}"
_HEADERS: Final = 3 * 4_096  # bytes of a database file before its first block


class Session:
    """Opens the database on first use, so that a process that never uses it pays nothing."""

    def __init__(self, path: Path | None, *, threads: int, memory_mib: int) -> None:
        self._path = path
        self._threads, self._memory_mib = threads, memory_mib
        self._scratch = tempfile.TemporaryDirectory(prefix="warehouse-") if path is None else None
        folder = Path(self._scratch.name) if path is None and self._scratch else _folder(path)
        self.staging, self.logs = folder / "staging", folder / "log"
        self._lock = threading.Lock()
        self._verdicts, self._parses = Verdicts(), Parses()
        self._database: duckdb.DuckDBPyConnection | None = None
        self.opened = 0  # how often the file was opened
        self._closed = self._has_macros = False
        self._at_work = 0  # cursors in use
        self._failed: str | None = None  # the error of the last write; None if it succeeded
        self._invalid = False  # DuckDB refuses further work on the open database
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="warehouse-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="warehouse-reader")

    @property
    def is_open(self) -> bool:
        """Whether the database has been used yet."""
        return self._database is not None

    @property
    def is_there(self) -> bool:
        """Whether there is a database, in use or not."""
        return self.is_open or (self._path is not None and self._path.exists())

    @property
    def has_journal(self) -> bool:
        """Whether an earlier process left writes that the next opening has to repeat."""
        journal = None if self._path is None else self._path.with_name(f"{self._path.name}.wal")
        return journal is not None and journal.exists() and journal.stat().st_size > 0

    async def look(self) -> None:
        """Open the database. Raises `StorageUnusable` for a damaged one."""
        await self.read(lambda _: None)

    async def trouble(self) -> str | None:
        """Return the reason nothing can be written; when the last write failed, another is tried first."""
        if self._failed is not None:
            with contextlib.suppress(ConvergenceError):
                await self.write(lambda job: job.execute(statement("probe")))
        return self._failed

    async def write(self, work: Callable[[Job], T], *, googlesql: bool = False, limit_s: float | None = None) -> T:
        """Run `work` on the writer's thread, after all earlier writers. `googlesql`: it needs the macros.

        Raises:
            StepFailed: it ran longer than `limit_s` seconds, its turn not counted.
        """
        return await self._run(self._writer, self._write_out, work, googlesql, limit_s)

    async def read(self, work: Callable[[Job], T], *, googlesql: bool = False, limit_s: float | None = None) -> T:
        """Run `work` on a reader's thread. Raises as `write` does."""
        return await self._run(self._readers, self._execute, work, googlesql, limit_s)

    def close(self) -> None:
        """Wait for running jobs, then close the database. Closing twice is harmless."""
        self._closed = True
        self._writer.shutdown()
        self._readers.shutdown()
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
        if self._scratch is not None:
            self._scratch.cleanup()

    async def _run(
        self,
        pool: ThreadPoolExecutor,
        execute: Callable[[Job, Callable[[Job], T], bool], T],
        work: Callable[[Job], T],
        googlesql: bool,
        limit_s: float | None,
    ) -> T:
        if self._closed:
            raise StorageFault("the warehouse is closed")
        job = Job(self._verdicts, self._parses)
        future = asyncio.get_running_loop().run_in_executor(pool, execute, job, work, googlesql)
        try:
            with limited(job, limit_s):
                return await asyncio.shield(future)
        except asyncio.CancelledError:
            job.cancel()
            await asyncio.wait([future])  # its transaction is rolled back before the next job starts
            future.exception()  # retrieved: the caller gets the cancellation
            raise

    def _execute(self, job: Job, work: Callable[[Job], T], googlesql: bool) -> T:
        import duckdb

        try:
            with self._cursor(googlesql) as cursor, job.on(cursor):
                return work(job)
        except UnicodeDecodeError as error:  # DuckDB truncates what it quotes in a message, even inside a character
            raise StepFailed(bytes(error.object).decode(errors="replace")) from error
        except Exception as error:
            cause = ends_the_database(error)
            if cause is not None:
                self._invalid = True
            elif job.expired and isinstance(error, Transient | duckdb.InterruptException):
                raise job.too_late() from error
            elif isinstance(error, duckdb.Error):
                cause = error
            else:
                raise
            raise translate_error(cause) from error

    def _write_out(self, job: Job, work: Callable[[Job], T], googlesql: bool) -> T:
        """Execute for the writer, and keep whether it could write."""
        try:
            done = self._execute(job, work, googlesql)
        except (Transient, StorageUnusable) as error:
            if not job.cancelled:
                self._failed = str(error)
            raise
        self._failed = None
        return done

    @contextlib.contextmanager
    def _cursor(self, googlesql: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a new cursor; a database that DuckDB has given up is opened again once no cursor is left on it."""
        with self._lock:
            if self._invalid and self._at_work:
                raise StorageFault("the warehouse is being opened again after an error")
            if self._invalid and self._database is not None:
                self._database.close()
                self._database, self._has_macros = None, False
            if self._database is None:
                self._database = self._connect()
                self.opened += 1
                self._invalid = False
            if googlesql and not self._has_macros:
                self._write_macros(self._database)
            cursor = self._database.cursor()
            cursor.execute(_USE)
            self._at_work += 1
        try:
            yield cursor
        finally:
            with self._lock:
                self._at_work -= 1

    def _write_macros(self, database: duckdb.DuckDBPyConnection) -> None:
        """Bring the schema `googlesql` up to date: takes 50 ms when the product is new to the file, else nothing."""
        text = Path(__file__).parents[1].joinpath("duckdb_sql", "functions.sql").read_text(encoding="utf-8")
        version = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        if database.execute(statement("macros_version")).fetchone() != (version,):
            with self._verdicts.changing():
                _run_all(database, statement("macros_begin"))
                _run_all(database, text)
                database.execute(statement("macros_done"), {"version": version})
                database.execute("COMMIT")
        self._has_macros = True

    def _connect(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        self.staging.mkdir(parents=True, exist_ok=True)
        try:
            database = duckdb.connect(
                config={
                    "threads": self._threads,
                    "memory_limit": f"{self._memory_mib}MiB",
                    "checkpoint_threshold": CHECKPOINT_AT,
                    "temp_directory": str(self.staging.with_name("spill")),
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "allow_community_extensions": False,
                    "allow_persistent_secrets": False,
                    "python_enable_replacements": False,  # or FROM could name a variable of this process
                    "explain_output": "all",  # the second check reads the plan as it was bound (`fence`)
                },
            )
            file = quoted(":memory:" if self._path is None else str(self._path))
            database.execute(f"ATTACH {file} AS {_CATALOG} (ROW_GROUP_SIZE {GROUP_ROWS})")
            database.execute(_USE)
        except duckdb.Error as error:
            raise cannot_open(error, self._path) from error
        if self._path is not None:
            _check_size(database, self._path)
        database.execute("SET GLOBAL TimeZone = 'UTC'")
        with self._verdicts.changing():
            _run_all(database, statement("internals"))
        # From here on SQL reaches no file but staged parts and spooled events, and no network.
        allowed = f"[{quoted(str(self.staging))}, {quoted(str(self.logs))}]"
        database.execute(f"SET allowed_directories = {allowed}")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        return database


def _check_size(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raise `StorageUnusable` for a file that was cut: DuckDB would notice at the first row that is missing.

    Free blocks do not count: a checkpoint cuts them off the end of the file after it has written how many there are.
    """
    row = database.execute(statement("used_bytes")).fetchone()
    blocks, size = _HEADERS + (int(row[0]) if row else 0), path.stat().st_size
    if size < blocks:
        database.close()
        raise damaged(path, f"is cut: {size:,} bytes are left of at least {blocks:,}")


def _run_all(database: duckdb.DuckDBPyConnection, script: str) -> None:
    """Run one of the product's own scripts."""
    for each in database.extract_statements(script):
        database.execute(each)


def _folder(path: Path | None) -> Path:
    assert path is not None, "a database in memory has a scratch folder"
    return path.resolve().parent
