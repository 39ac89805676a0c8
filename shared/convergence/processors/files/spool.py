"""A delivery's files on this machine, one after the other: downloaded, decompressed, given to the stage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from convergence.errors import StepFailed
from convergence.ports.object_store import ObjectStore, StoredObject
from convergence.ports.processor import StepStage
from convergence.ports.warehouse import BadRow, RowFile, StagedFile
from convergence.processors.files.decompress import unpack
from convergence.processors.files.deliveries import Delivery
from convergence.processors.files.safeguards import DELIVERED_AT, DELIVERY_ID, SOURCE_FILE
from convergence.processors.files.settings import FileSettings


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was staged, and what it held."""

    name: str
    came: StoredObject
    staged: StagedFile


@dataclass(frozen=True, slots=True)
class Staged:
    """All files of a delivery."""

    parts: Sequence[Part]

    @property
    def rows(self) -> int:
        """How many rows fit."""
        return sum(part.staged.rows for part in self.parts)

    @property
    def days(self) -> set[date]:
        """The days that the rows are of."""
        return {day for part in self.parts for day in part.staged.days}

    @property
    def bad(self) -> list[tuple[str, BadRow]]:
        """The rows that were set aside, with the name of their file."""
        return [(part.name, row) for part in self.parts for row in part.staged.bad]

    @property
    def at(self) -> datetime:
        """When the newest file was written."""
        return max(part.came.modified for part in self.parts)


async def stage_parts(
    options: FileSettings, store: ObjectStore, delivery: Delivery, stage: StepStage, row_file: RowFile, spool: Path
) -> Staged:
    """Stage every file of the delivery: its disk space is that of one file at a time.

    Raises `StepFailed` for a file that is missing, cut, or not as the manifest says; `SchemaMismatch` for its content,
    and for columns that change from one file to the next.
    """
    parts: list[Part] = []
    left = options.delivery_mib_max * 2**20
    for number, name in enumerate(delivery.names):
        came = await store.fetch(name, spool / "came", bytes_max=min(left, options.file_mib_max * 2**20))
        left -= came.size
        said = delivery.sizes[number] if delivery.sizes else -1
        if said >= 0 and said != came.size:
            raise StepFailed(f"{name}: {came.size:,} bytes came; {said:,} are listed: the file is cut or changed")
        file = await asyncio.to_thread(_plain, options, name, spool, _stamped(row_file, name, came))
        staged = await stage.write_file(number, file)
        _check_rows(delivery, number, name, staged)
        parts.append(Part(name, came, staged))
        _check_columns(parts)
    return Staged(parts)


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
    said = delivery.rows[number] if delivery.rows else -1
    found = staged.rows + len(staged.bad)
    if said >= 0 and said != found:
        raise StepFailed(f"{name}: it has {found:,} rows, but the manifest lists {said:,}")


def _check_columns(parts: Sequence[Part]) -> None:
    """Refuse files of one delivery that have different columns; an empty one has none."""
    last, full = parts[-1], [part for part in parts if part.staged.columns]
    if last.staged.columns and set(full[0].staged.columns) != set(last.staged.columns):
        odd = sorted(set(full[0].staged.columns) ^ set(last.staged.columns))
        raise StepFailed(
            f"{last.name}: its columns are not those of {full[0].name}: {', '.join(odd)[:200]}; nothing was changed"
        )
