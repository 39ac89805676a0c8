"""Files into a table whose columns come from the data: the same landing as that of an API's records, in batches.

A Parquet file has types: they give the columns, and the warehouse reads it like a file for a table with a schema file.

Strings of CSV become numbers and booleans if every string of a new column is one, written as the column returns it:
`007` and `1e5` stay strings. Values that a stored column cannot hold are left to the contract (`landing.inferred`).
"""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from convergence.errors import StepFailed, did_you_mean
from convergence.ports.column_values import day_of, type_name
from convergence.ports.http.json_text import read_json, twin_key
from convergence.ports.processor import Context
from convergence.ports.warehouse import BadRow, FileFormat, LoadResult, Row, RowFile, StagedFile, TableSchema
from convergence.processors.files.parts import quarantined
from convergence.processors.files.settings import FileSettings
from convergence.processors.generic.api.settings import Transform
from convergence.processors.generic.landing.landing import SAMPLE_ROWS, Landing, open_landing
from convergence.processors.generic.landing.settings import LandingTarget

_NUMBER: Final = re.compile(r"(?!-0$)-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,100})?", re.ASCII)
_NUMBERS: Final = frozenset({"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64"})
_DAYS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_TRUTH: Final[Mapping[str, bool]] = {"true": True, "false": False}


class InferredParts:
    """Reads files, stages their rows and counts the parts of this execution (`parts.Parts` for other tables)."""

    whole = ""

    def __init__(self, options: FileSettings, target: LandingTarget, landing: Landing, context: Context) -> None:
        self._options, self._target, self._landing, self._context = options, target, landing, context
        self._counts = [0, 0]
        self._formats = set[bool]()

    @property
    def table(self) -> TableSchema:
        """The table as it is now."""
        return self._landing.stages[0].schema

    async def take(self, name: str, file: RowFile) -> StagedFile:
        """Stage a file; the rows that the contract sets aside are in the result.

        Raises `StepFailed` for what cannot be read, with its line, and for what the contract refuses.
        """
        self._formats.add(file.format is FileFormat.PARQUET)
        if len(self._formats) > 1:
            raise StepFailed(f"{file.name}: the files of one delivery are all Parquet, or none of them is")
        if file.format is FileFormat.PARQUET:
            return await self._take_typed(name, file)
        rows, bad, days = 0, list[BadRow](), set[date]()
        records = read_records(file, self._options)
        while batch := await asyncio.to_thread(list, islice(records, SAMPLE_ROWS)):
            whole = typed(batch, self._landing.type_of) if file.format is FileFormat.CSV else batch
            shaped = await self._landing.shape(whole)
            await self._write(0, shaped.rows)
            await self._write(1, [{**row, "reason": f"{name}: {row['reason']}"} for row in shaped.bad])
            rows += len(shaped.rows)
            bad += [BadRow(0, 0, {}, str(row["row_json"])[:200]) for row in shaped.bad]
            days |= self._days(shaped.rows)
            if len(bad) > self._options.bad_rows_max:
                raise StepFailed(f"{file.name}: more than {self._options.bad_rows_max:,} rows do not fit the table")
        if bad and not rows:
            raise StepFailed(f"{file.name}: none of its {len(bad):,} rows fits {self._target.table}")
        return StagedFile((), rows, tuple(sorted(days)), tuple(bad))

    async def _take_typed(self, name: str, file: RowFile) -> StagedFile:
        """Stage a file that has types: its own schema gives the columns, and the warehouse reads it."""
        fields = await self._landing.stages[0].file_columns(file)
        placed, homeless = await self._landing.place_columns(fields)
        columns = self.table.columns
        if absent := self._options.columns.keys() - placed.values():
            raise StepFailed(
                f"{file.name}: config.columns: there is no field for {', '.join(map(repr, sorted(absent)))}"
            )
        day = next((each.name for each in columns if each.name == self._target.date_field), "")
        stage = self._landing.stages[0]
        read = replace(
            file,
            columns={**{each.name: () for each in columns}, **{column: (field,) for field, column in placed.items()}},
            optional=frozenset(column.name for column in columns),
            homeless=homeless,
            drop_rest=bool(homeless),
            day=day if day in {each.name for each in columns if type_name(each) in _DAYS} else "",
            bad_rows="set_aside" if len(self._landing.stages) > 1 else "stop",
        )
        staged = await stage.write_file(self._counts[0], read)
        self._counts[0] += 1
        await self._write(1, [quarantined(self._target.table, self._context.step_id, name, bad) for bad in staged.bad])
        return replace(staged, columns=())  # files of one delivery may have different ones

    async def keep_bad_rows(self) -> None:
        """Make the rows that were set aside visible."""
        await self._landing.load_quarantine()

    async def load(self, dates: Sequence[date] | None, date_field: str | None, rows: int) -> LoadResult:
        """Make the staged rows visible, those of earlier slices too; `rows` is their number."""
        assert date_field == (self._target.date_field or None), "an inferred table has no periods"
        unseen = sorted(self._landing.unseen)
        if unseen and rows:
            raise StepFailed(f"config.columns: no file has {', '.join(map(repr, unseen))[:200]}; nothing was loaded")
        return await self._landing.load(dates=dates, staged=rows)

    def changes(self) -> list[str]:
        """Return what the run added to the table, in words."""
        return self._landing.changes()

    async def _write(self, place: int, rows: Sequence[Row]) -> None:
        if rows:
            await self._landing.stages[place].write(self._counts[place], rows)
            self._counts[place] += 1

    def _days(self, rows: Sequence[Row]) -> set[date]:
        field = self._target.date_field
        return {day_of(row[field]) for row in rows if row.get(field) is not None} if field else set()


async def open_inferred(
    options: FileSettings, target: LandingTarget, dates: Sequence[date] | None, context: Context
) -> Landing:
    """Return the landing of a delivery that replaces `dates`."""
    renamed = {next(iter(names)): column for column, names in options.columns.items()}
    transform = Transform(field_mapping=renamed)
    aside = options.on_bad_row == "quarantine"
    return await open_landing(target, transform, context, dates=dates, quarantines=aside)


def read_records(file: RowFile, options: FileSettings) -> Iterator[dict[str, Any]]:
    """Yield the records of a file. Raises `StepFailed` with the line of one that cannot be read.

    Those of Parquet have types and are not read here.
    """
    return _csv(file, options) if file.format is FileFormat.CSV else _lines(file)


def _csv(file: RowFile, options: FileSettings) -> Iterator[dict[str, Any]]:
    nulls = frozenset(options.null_texts)
    with file.path.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines, delimiter=options.delimiter, strict=True)
        try:
            names = next(reader, [])
            _check_header(file, names, [next(iter(names)) for names in options.columns.values()])
            for values in reader:
                if values and len(values) != len(names):
                    where = f"{file.name}: line {reader.line_num}"
                    raise StepFailed(f"{where}: {len(values)} values, but the header has {len(names)} columns")
                if values:
                    yield {name: None if value in nulls else value for name, value in zip(names, values, strict=True)}
        except csv.Error as error:
            raise StepFailed(f"{file.name}: line {reader.line_num}: {error}") from error


def _check_header(file: RowFile, names: Sequence[str], required: Sequence[str]) -> None:
    if not all(name.strip() for name in names) or len(set(names)) < len(names):
        raise StepFailed(f"{file.name}: line 1: each column needs a unique name")
    for name in required:
        if names and name not in names:
            raise StepFailed(f"{file.name}: there is no column {name!r}.{did_you_mean(name, names)}")


def _lines(file: RowFile) -> Iterator[dict[str, Any]]:
    with file.path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = read_json(line)
            except ValueError as error:
                raise StepFailed(f"{file.name}: line {number}: this is not JSON") from error
            if not isinstance(found, dict):
                raise StepFailed(f"{file.name}: line {number}: this is not a JSON object")
            if (key := twin_key(line)) is not None:
                raise StepFailed(f"{file.name}: line {number}: the key {key[:100]!r} appears twice in one object")
            yield found


def typed(rows: Sequence[Mapping[str, Any]], type_of: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """Return rows of texts as rows of values; `type_of` gives the type of a field's column."""
    found = [dict(row) for row in rows]
    for name in rows[0]:
        texts = [row[name] for row in rows if row[name] is not None]
        kind = type_of(name)
        if kind in _NUMBERS or (kind is None and texts and all(map(_NUMBER.fullmatch, texts))):
            _replace(found, name, _number)
        elif kind == "BOOL" or (kind is None and texts and all(text in _TRUTH for text in texts)):
            _replace(found, name, lambda text: _TRUTH.get(text, text))
    return found


def _replace(rows: Sequence[dict[str, Any]], name: str, value_of: Callable[[str], Any]) -> None:
    for row in rows:
        if row[name] is not None:
            row[name] = value_of(row[name])


def _number(text: str) -> Any:
    if _NUMBER.fullmatch(text) is None:
        return text
    return Decimal(text) if "." in text or len(text) > 19 else int(text)  # an int beyond int64 is an exact number
