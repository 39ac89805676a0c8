"""Backups of a data directory: a folder of the same shape, and a manifest that says that it is complete.

Nothing has to stop. SQLite copies its own snapshot. DuckDB changes what its file's header leads to at checkpoints only,
and otherwise writes to free blocks and to the end of the journal: a copy between which and the original's header no
checkpoint lies is what a crash would leave, and is opened once to prove it. The state is copied first, so that the
warehouse may be ahead of it, never behind: a write that the state does not know is found in the ledger, as after a
crash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.data_directory import DataDirectory
from convergence.domain.times import to_text
from convergence.errors import InvalidInput, StorageUnusable, Transient
from convergence.ports.clock import Clock

MANIFEST: Final = "backup.json"
FORMAT: Final = 1
_DATABASE: Final = "warehouse.duckdb"
_HEADERS: Final = 3 * 4_096  # of a DuckDB file: what a checkpoint changes last
_ATTEMPTS: Final = 20


def back_up(directory: DataDirectory, target: Path, clock: Clock) -> Mapping[str, Any]:
    """Copy an installation into the new folder `target`, beside a writer or without one, and return the manifest.

    The key file is part of it: keep a backup as secret as the data directory.

    Raises:
        InvalidInput: there is no installation, or something is at `target`.
        Transient: checkpoints occurred faster than the warehouse could be copied.
        StorageUnusable: a copy could not be written, or the original is damaged.
    """
    if not directory.documents.exists():
        raise InvalidInput(f"there is no installation in {directory.root}: nothing to back up")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInput(f"{target} is not empty; a backup needs a folder of its own")
    made_at = to_text(clock.now())
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = DataDirectory(target)
        _copy_state(directory.documents, copy.documents)
        if directory.key.exists():
            _copy_file(directory.key, copy.key)
        copy.warehouse.mkdir(mode=0o700)
        _copy_staging(directory.warehouse / "staging", copy.warehouse / "staging")
        _copy_warehouse(directory.warehouse, copy.warehouse)
        manifest = {
            "format": FORMAT,
            "version": version("convergence-pipelines"),
            "made_at": made_at,
            "files": {path.relative_to(target).as_posix(): _digest(path) for path in _files(target)},
        }
        (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    except (OSError, sqlite3.Error) as error:
        raise StorageUnusable(f"the backup into {target} failed: {error}; remove the folder and try again") from error
    return manifest


def restore(source: Path, root: Path) -> Mapping[str, Any]:
    """Copy a backup into the data directory `root`, which must not hold an installation; return the manifest.

    Raises:
        InvalidInput: `source` is not a complete backup, was changed, or is of a newer format; or `root` is in use.
        StorageUnusable: a file could not be written.
    """
    manifest = _manifest(source)
    if root.exists() and any(root.iterdir()):
        raise InvalidInput(f"{root} is not empty: move it away, or restore into another folder with --data-dir")
    for name, digest in manifest["files"].items():
        path = source / name
        if not path.resolve().is_relative_to(source.resolve()) or not path.is_file() or _digest(path) != digest:
            raise InvalidInput(f"{source}: {name} is missing or was changed since the backup; use another backup")
    partial = root.with_name(f"{root.name}.restoring")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for name in manifest["files"]:
            (partial / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _copy_file(source / name, partial / name)
        with contextlib.suppress(FileNotFoundError):
            root.rmdir()
        partial.rename(root)
    except OSError as error:
        raise StorageUnusable(f"the backup cannot be restored into {root}: {error}") from error
    return manifest


def _manifest(source: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((source / MANIFEST).read_text("utf-8"))
        if found["format"] > FORMAT:
            raise InvalidInput(
                f"{source} was made by {found['version']}, a newer release: restore it with that release"
            )
        files = {str(name): str(digest) for name, digest in found["files"].items()}
    except FileNotFoundError:
        raise InvalidInput(f"{source} has no {MANIFEST}: it is not a backup, or an unfinished one") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{source / MANIFEST} cannot be read: {error!r}") from error
    return {**found, "files": files}


def _copy_state(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise StorageUnusable(f"{source} is damaged: restore an earlier backup")
    target.chmod(0o600)


def _copy_staging(source: Path, target: Path) -> None:
    """Copy staged parts. One that vanishes meanwhile was loaded: the warehouse, copied after it, has its rows."""
    for path in _files(source):
        inner = target / path.relative_to(source)
        inner.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            _copy_file(path, inner)


def _copy_warehouse(source: Path, target: Path) -> None:
    for _ in range(_ATTEMPTS):
        before = _headers(source)
        if before is None:
            return  # nothing was ever written
        try:
            names = sorted(path.name for path in source.glob(f"{_DATABASE}*"))  # the database before its journal
            for name in names:
                _copy_file(source / name, target / name)
        except FileNotFoundError:  # a checkpoint removed the journal
            names = []
        if names and names == sorted(path.name for path in source.glob(f"{_DATABASE}*")) and before == _headers(source):
            _open_once(target / _DATABASE)
            return
        for path in target.glob(f"{_DATABASE}*"):
            path.unlink()
    raise Transient(
        "the warehouse is being written faster than it can be copied: try again when fewer runs are under way"
    )


def _headers(source: Path) -> bytes | None:
    try:
        with (source / _DATABASE).open("rb") as file:
            return file.read(_HEADERS)
    except FileNotFoundError:
        return None


def _open_once(path: Path) -> None:
    """Apply the copy's journal, which proves that the copy can be read."""
    import duckdb

    try:
        with duckdb.connect(str(path)) as database:
            database.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StorageUnusable(f"the copy of the warehouse cannot be opened: {error}") from error
    path.chmod(0o600)


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as original, open(target, "wb", opener=_private) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
