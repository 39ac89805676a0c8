"""Rows on their way: one JSON file a part, below the staging folder, so that they survive a crash.

While more parts arrive, those that are there are turned into typed chunks (Parquet) on a thread, so that a load finds
most of its work done. A chunk is a copy that only the process knows that made it: the parts stay until the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from convergence.adapters.googlesql.fitting import as_json, unreal_number, with_texts
from convergence.adapters.parquet.columns import columns_of
from convergence.domain.sql_names import checked
from convergence.errors import ConvergenceError, SchemaMismatch, did_you_mean
from convergence.ports.column_values import type_name, unknown_field
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, Row, RowFile, StagedFile, StagedRows, TableSchema

_PART: Final = re.compile(r"part-(\d{9})-(\d+)\.(json|parquet)")
_NESTED: Final = (b'":{', b'":[')  # where a value is an object or a list, or a text looks like one


Convert = Callable[[TableSchema, list[Path], Path], Awaitable[None]]
ReadFile = Callable[[TableSchema, RowFile, Path], Awaitable[StagedFile]]
CHUNK: Final = ".parquet"
CHUNK_ROWS: Final = 20_000


def stage_folder(staging: Path, dataset: str, table: str, name: str) -> Path:
    """Return the folder with the parts of a stage."""
    return staging / checked(dataset, "dataset") / checked(f"{table}__{name}", "stage")


def stages_before(staging: Path, at: datetime) -> list[StagedRows]:
    """Return the stages to which nothing was written since `at`."""
    found = []
    for folder in sorted(staging.glob("*/*__*")):
        table, _, name = folder.name.rpartition("__")
        with contextlib.suppress(OSError):  # a load has just dropped it
            if folder.is_dir() and max(each.stat().st_mtime for each in (folder, *folder.iterdir())) < at.timestamp():
                found.append(StagedRows(folder.parent.name, table, name))
    return found


class NdjsonStage:
    """A folder of parts. File names carry part and number of rows; a part is replaced by renaming over it."""

    def __init__(
        self,
        folder: Path,
        dataset: str,
        table: TableSchema,
        name: str,
        convert: Convert | None = None,
        read_file: ReadFile | None = None,
    ) -> None:
        self.table = table
        self.folder = stage_folder(folder, dataset, table.name, name)
        columns = [column for column in table.columns if column.name not in LINEAGE_COLUMNS]
        self._columns = frozenset(column.name for column in columns)
        self._structs = [column for column in columns if type_name(column) == "STRUCT"]
        self._texts = [column for column in columns if type_name(column) in {"STRING", "STRUCT"}]
        self._known: dict[int, Path] | None = None  # part → file; read from the folder once
        self._convert, self._read_file = convert, read_file
        self._loose: dict[int, Path] = {}  # written here, in no chunk yet
        self._loose_rows = 0
        self._chunks: dict[Path, dict[int, Path]] = {}  # chunk → the parts in it
        self._converting: asyncio.Task[None] | None = None
        self._finishing = False

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store rows as part `part`; a part written again replaces its earlier self.

        Raises:
            SchemaMismatch: a row has a column or field that the table lacks, or a number that is NaN or infinite.
        """
        if not self._columns.issuperset(set().union(*rows)):  # all names at once: the fastest way for many rows
            raise self._unknown_column(part, rows)
        self._refuse_unknown_fields(part, rows)
        data = orjson.dumps(rows, default=as_json, option=orjson.OPT_UTC_Z)
        if any(sign in data for sign in _NESTED):
            texts = [with_texts(self._texts, row) for row in rows]
            data = orjson.dumps(texts, default=as_json, option=orjson.OPT_UTC_Z)
        if b"null" in data:  # JSON has no NaN: it was written as null, like a value that is really missing
            self._refuse_unreal(part, rows)
        known = self._parts()
        if not known:
            self.folder.mkdir(parents=True, exist_ok=True)
        stale = known.pop(part, None)
        if stale is not None:
            await self._forget_chunks()
            stale.unlink(missing_ok=True)
        if rows:
            unfinished = self.folder / f"writing-{part:09d}"
            unfinished.write_bytes(data)
            known[part] = unfinished.rename(self.folder / f"part-{part:09d}-{len(rows)}.json")
            self._offer(part, known[part], len(rows))

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        """Store the rows of a file as part `part`, typed already; see the port."""
        assert self._read_file is not None, "this stage belongs to no database"
        self.folder.mkdir(parents=True, exist_ok=True)
        inside = self.folder / f"reading-{part:09d}"  # the database reads below the staging folder only
        unfinished = self.folder / f"writing-{part:09d}"
        shutil.move(file.path, inside)
        try:
            staged = await self._read_file(self.table, replace(file, path=inside), unfinished)
            self._replace(
                part, unfinished.rename(self.folder / f"part-{part:09d}-{staged.rows}.parquet") if staged.rows else None
            )
        finally:
            inside.unlink(missing_ok=True)
            unfinished.unlink(missing_ok=True)
        return staged

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        """Return the columns of a Parquet file; see the port."""
        return await asyncio.to_thread(columns_of, file)

    def _replace(self, part: int, path: Path | None) -> None:
        known = self._parts()
        stale = known.pop(part, None)
        if stale is not None and stale != path:
            stale.unlink(missing_ok=True)
        if path is not None:
            known[part] = path

    async def flush(self) -> None:
        """A part is a file when `write` returns; a chunk in the making is waited for, as another stage may follow."""
        await self.finish_chunks()

    async def discard(self, from_part: int = 0) -> None:
        """Drop the parts from `from_part` on."""
        await self._forget_chunks()
        if from_part == 0:
            self._known = None
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        known = self._parts()
        for part in [part for part in known if part >= from_part]:
            known.pop(part).unlink(missing_ok=True)

    def parts(self, *, loose: bool = False) -> list[Path]:
        """Return the files, in staging order; `loose` leaves out those that are in a chunk."""
        inside = {part for parts in self._chunks.values() for part in parts} if loose else set()
        return [path for part, path in sorted(self._parts().items()) if part not in inside]

    def chunks(self) -> list[Path]:
        """Return the finished chunks; call `finish_chunks` before."""
        return list(self._chunks)

    async def finish_chunks(self, *, in_order: bool = False) -> None:
        """Wait for the chunk in the making. `in_order`: rows have to keep their order, so no chunk is used."""
        self._finishing = True
        if self._converting is not None:
            await self._converting
        self._finishing = False
        if in_order:
            await self._forget_chunks()

    def _offer(self, part: int, path: Path, rows: int) -> None:
        """Begin a chunk when enough rows wait and none is in the making."""
        self._loose[part] = path
        self._loose_rows += rows
        if self._convert is not None and self._converting is None and self._loose_rows >= CHUNK_ROWS:
            self._converting = asyncio.create_task(self._make_chunks(self._convert))

    async def _make_chunks(self, convert: Convert) -> None:
        """Make chunks of about CHUNK_ROWS, so that a load never waits long for the one in the making."""
        try:
            while self._loose_rows >= CHUNK_ROWS and not self._finishing:
                parts = self._taken()
                chunk = self.folder / f"chunk-{min(parts):09d}.parquet"
                await convert(self.table, list(parts.values()), chunk)
                self._chunks[chunk] = parts
        except ConvergenceError:
            pass  # a value does not fit: the load reads the parts themselves and says which
        finally:
            self._converting = None

    def _taken(self) -> dict[int, Path]:
        parts: dict[int, Path] = {}
        rows = 0
        while rows < CHUNK_ROWS and self._loose:
            part = next(iter(self._loose))
            parts[part] = self._loose.pop(part)
            rows += rows_in(parts[part])
        self._loose_rows -= rows
        return parts

    async def _forget_chunks(self) -> None:
        """A part changed: chunks that hold a copy of it are dropped."""
        await self.finish_chunks()
        for chunk in self._chunks:
            chunk.unlink(missing_ok=True)
        self._chunks, self._loose, self._loose_rows = {}, {}, 0

    def _parts(self) -> dict[int, Path]:
        if self._known is None:
            found = ((_PART.fullmatch(path.name), path) for path in self.folder.glob("part-*"))
            self._known = {int(match.group(1)): path for match, path in found if match}
        return self._known

    def _first_row(self, part: int) -> int:
        """Return the number of the part's first row among all staged rows, from 1."""
        return 1 + sum(rows_in(path) for earlier, path in self._parts().items() if earlier < part)

    def _refuse_unreal(self, part: int, rows: Sequence[Row]) -> None:
        for place, row in enumerate(rows):
            for name, value in row.items():
                found = unreal_number(value)
                if found is not None:
                    raise SchemaMismatch(
                        f"{self.table.name}: row {self._first_row(part) + place}: column {name!r} is {found}, which is"
                        " not a number: leave the value out, or set it to null."
                    )

    def _refuse_unknown_fields(self, part: int, rows: Sequence[Row]) -> None:
        for place, row in enumerate(rows) if self._structs else ():
            for column in self._structs:
                path = unknown_field(column, row.get(column.name))
                if path is not None:
                    number = self._first_row(part) + place
                    raise SchemaMismatch(f"{self.table.name}: row {number}: the table has no field {path!r}.")

    def _unknown_column(self, part: int, rows: Sequence[Row]) -> SchemaMismatch:
        numbered = enumerate(rows, self._first_row(part))
        number, name = next((number, name) for number, row in numbered for name in row if name not in self._columns)
        if name in LINEAGE_COLUMNS:
            advice = " The warehouse adds the lineage columns itself: leave them out."
        else:
            advice = did_you_mean(name, self._columns)
        return SchemaMismatch(f"{self.table.name}: row {number}: the table has no column {name!r}.{advice}")


def rows_in(part: Path) -> int:
    """Return how many rows a part's file holds: the number is in its name."""
    return int(part.stem.rpartition("-")[2])
