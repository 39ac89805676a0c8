"""A delivery's files on this machine, one after the other: downloaded, decompressed, given to the stage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from convergence.errors import StepFailed
from convergence.ports.object_store import ObjectStore, StoredObject
from convergence.ports.warehouse import FileFormat, RowFile, StagedFile
from convergence.processors.files.decompress import unpack
from convergence.processors.files.deliveries import Delivery
from convergence.processors.files.progress import Staged
from convergence.processors.files.safeguards import DELIVERED_AT, DELIVERY_ID, SOURCE_FILE
from convergence.processors.files.settings import FileSettings


async def stage_parts(
    options: FileSettings,
    store: ObjectStore,
    delivery: Delivery,
    staged: Staged,
    row_file: RowFile,
    spool: Path,
    *,
    take: Callable[[str, RowFile], Awaitable[StagedFile]],
    over: Callable[[], bool],
) -> bool:
    """Stage the files of the delivery that `staged` does not have yet; return False if the slice is `over` before that.

    `take` stages a file. The disk space is that of one file at a time.

    Raises `StepFailed` for a file that is missing, truncated, or not as the manifest describes it; `SchemaMismatch` for
    its content, and for columns that change from one file to the next.
    """
    begun = staged.files
    for number, name in list(enumerate(delivery.names))[begun:]:
        if number > begun and over():
            return False
        left = options.delivery_mib_max * 2**20 - staged.bytes
        came = await store.fetch(name, spool / "came", bytes_max=min(left, options.file_mib_max * 2**20))
        listed = delivery.sizes[number] if delivery.sizes else -1
        if listed >= 0 and listed != came.size:
            raise StepFailed(
                f"{name}: {came.size:,} bytes arrived; {listed:,} are listed: the file is truncated or changed"
            )
        file = await asyncio.to_thread(_plain, options, name, spool, _stamped(row_file, name, came))
        found = await take(name, file)
        _check_rows(delivery, number, name, found)
        staged.add(name, came, found)
        if not row_file.whole and file.format is not FileFormat.NDJSON:  # records may have different keys
            _check_columns(name, found, staged)
    return True


def _stamped(row_file: RowFile, name: str, came: StoredObject) -> RowFile:
    """Fill in what is known now that the file is here: constants without a text."""
    facts = {DELIVERY_ID: came.tag, DELIVERED_AT: came.modified.isoformat(), SOURCE_FILE: name.partition("?")[0]}
    constants = {column: text or facts.get(column, text) for column, text in row_file.constants.items()}
    return replace(row_file, constants=constants)


def _plain(options: FileSettings, name: str, spool: Path, row_file: RowFile) -> RowFile:
    came, plain = spool / "came", spool / "plain"
    shown = name.partition("?")[0]
    kind = unpack(
        shown,
        came,
        plain,
        kind=None if options.format == "auto" else options.format,
        encoding=options.encoding,
        bytes_max=options.file_mib_max * 2**20,
    )
    came.unlink()
    return replace(row_file, path=plain, name=shown, format=kind)


def _check_rows(delivery: Delivery, number: int, name: str, staged: StagedFile) -> None:
    listed = delivery.rows[number] if delivery.rows else -1
    found = staged.rows + len(staged.bad)
    if listed >= 0 and listed != found:
        raise StepFailed(f"{name}: it has {found:,} rows, but the manifest lists {listed:,}")


def _check_columns(name: str, found: StagedFile, staged: Staged) -> None:
    """Refuse files of one delivery that have different columns; an empty one has none."""
    odd = sorted(set(staged.columns) ^ set(found.columns))
    if found.columns and odd:
        raise StepFailed(
            f"{name}: its columns are not those of {staged.first}: {', '.join(odd)[:200]}; nothing was changed"
        )
