"""DuckDB's errors become ours, in one table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from convergence.adapters.local.warehouse.wording import in_googlesql
from convergence.errors import (
    ConvergenceError,
    StepFailed,
    StorageFault,
    StorageLocked,
    StorageUnusable,
    Transient,
    did_you_mean,
)

if TYPE_CHECKING:
    import duckdb

_HOLDER: Final = re.compile(r"PID (\d+)")
# By name, so that this table is readable without importing duckdb. What is not listed is a StepFailed.
_TRANSIENT: Final = frozenset({"TransactionException", "InterruptException", "ConnectionException"})
_NO_ROOM: Final = re.compile(
    r"No space left on device|[Qq]uota exceeded|File too large|Read-only file system"
    r"|Too many open files|Input/output error"
)
_DAMAGED: Final = re.compile(r'Could not read enough bytes from file "[^"]*\.duckdb"|Corrupt database file')
_WAY_OUT: Final = (
    "Restore the data directory from a backup; without one, move {path} and its .wal away, and replay the runs whose "
    "rows are needed: the state is whole, and the next run makes a new warehouse"
)
_NOISE: Final = re.compile(
    r"\n\nLINE \d+:.*|\nPossible solutions:.*|\n\nSee also.*|\nTry setting .*| Use TRY\(\.\.\.\).*", re.DOTALL
)

# The ways in which DuckDB says that a column is missing: in expressions, in SET, in lists of columns, in EXCEPT.
_MISSING_COLUMN: Final = re.compile(
    r'Referenced (?:update )?column "?([^" ]+)"? (?:was )?not found'
    r'|does not have a column (?:named|with name) "([^"]+)"'
    r'|Column "([^"]+)" in (?:EXCLUDE|REPLACE) list not found'
)
_CANDIDATES: Final = re.compile(r"(?:Candidate bindings|Did you mean): (.*)")


def ends_the_database(error: BaseException | None) -> duckdb.Error | None:
    """Return the error behind `error` after which DuckDB refuses everything until the file is opened again."""
    import duckdb

    while error is not None:
        if isinstance(error, duckdb.FatalException):
            return error
        error = error.__cause__ or error.__context__
    return None


def cannot_open(error: duckdb.Error, path: Path | None) -> ConvergenceError:
    """Return the error of a database file that does not open: in use, no room on its disk, or damaged."""
    known = translate_error(error)
    if isinstance(known, StorageLocked | Transient) and not _DAMAGED.search(str(error)):
        return known
    return damaged(path, f"cannot be opened: {plain_message(error)}")


def damaged(path: Path | None, reason: str) -> StorageUnusable:
    """Return the error of a damaged database file, with the way to repair it."""
    return StorageUnusable(f"the warehouse {path} {reason}. {_WAY_OUT.format(path=path)}")


def translate_error(error: duckdb.Error, *, where: str = "") -> ConvergenceError:
    """Return the product's error for DuckDB's; the caller raises it `from error`."""
    text = plain_message(error)
    kind = type(error).__name__
    prefix = f"{where}: " if where else ""
    if kind == "IOException" and "lock" in text:
        holder = _HOLDER.search(str(error))
        who = f"process {holder.group(1)}" if holder else "another process"
        return StorageLocked(f"The warehouse is in use by {who}. Stop it, or give this one another data directory.")
    if kind == "FatalException" or _NO_ROOM.search(text):
        return StorageFault(f"{prefix}the warehouse cannot be written: {text.splitlines()[-1]}")
    if _DAMAGED.search(text):
        return StorageFault(f"{prefix}the warehouse is damaged: {text}. {_WAY_OUT.format(path='its file')}")
    if kind in _TRANSIENT:
        return Transient(f"{prefix}the warehouse is busy: {text}")
    if kind == "OutOfMemoryException":
        return StepFailed(f"{prefix}the statement needs more memory than the warehouse may use: {text}")
    return StepFailed(f"{prefix}{in_googlesql(text)}")


def is_ambiguous(error: duckdb.Error) -> bool:
    """Return whether DuckDB could not choose among the overloads of a macro of ours."""
    return "has multiple overloads that match" in str(error)


def misses_column(error: duckdb.Error) -> bool:
    """Return whether DuckDB did not find a column."""
    return _MISSING_COLUMN.search(str(error)) is not None


def wrong_statement(error: duckdb.Error, columns: Iterable[str]) -> ConvergenceError:
    """Return the error of a statement that DuckDB refused; a column it does not find gets the nearest of `columns`."""
    missing = _MISSING_COLUMN.search(str(error))
    if missing:
        name = next(name for name in missing.groups() if name)
        candidates = _CANDIDATES.search(str(error))
        known = set(columns) | set(re.findall(r'"([^"]+)"', candidates.group(1)) if candidates else ())
        return StepFailed(f"There is no column {name!r}.{did_you_mean(name, known)}")
    if is_ambiguous(error):
        return StepFailed(
            "The type of a function's argument is not known here: state it, for example with CAST(… AS NUMERIC)"
        )
    return translate_error(error)


def plain_message(error: duckdb.Error) -> str:
    """Return what DuckDB says without its error class, its hints for operators, and the translated SQL."""
    text = _NOISE.sub("", str(error)).strip()
    head, separator, tail = text.partition(" Error: ")
    return tail if separator and len(head) < 40 and "\n" not in head else text
