"""Files of rows: a stage reads them itself, so that their rows never become objects of this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

COLUMNS_MAX: Final = 2_000  # of one file
DAYS_MAX: Final = 10_000  # that are counted
CONTENT_MAX: Final = 65_536  # characters that are kept of a row that is set aside


class FileFormat(StrEnum):
    """What a file is, once it is decompressed."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """A file on this machine, decompressed, and how its columns map to those of a table.

    Text is UTF-8 without a byte order mark.

    Attributes:
        path: The file; the stage takes it over and removes it.
        name: Its name in messages: where it came from.
        columns: Table column → names that it may have in the file. The first one that the file has is read. A table
            column that is not listed has its own name in the file. In NDJSON `/input/tokens` is the field `tokens` of
            the object `input` (a JSON pointer, RFC 6901, of two keys or more).
        constants: Table column → text of the value that every row gets.
        optional: Table columns that the file need not have: NULL then. REQUIRED ones are never optional.
        rest: A STRING column for all other columns of the file: one JSON object, names beginning with `x_`, without
            those that have no value. Empty: other columns are refused, unless `drop_rest`.
        whole: A JSON column for the row as received: one JSON object of all columns of the file, those that feed others
            included, with the types of NDJSON and Parquet; strings in CSV. Numbers with more digits than a float has,
            or beyond int64, are strings. Columns that feed no other are not refused then.
        digest: A STRING column for 16 hexadecimal digits made of the row's texts: rows that are the same in all columns
            of the file, and only these, have the same, whatever the order of its columns.
        homeless: Column of the file, which feeds none of the table → what is wrong with a row that has a value there.
        nulls: Strings that mean that there is no value.
        formats: Table column → format of its dates or times in the file (strptime); ISO 8601 where none is given.
        allowed: Table column → the only strings that its values may be, as the file writes them.
        between: Table column (DATE or TIMESTAMP) → first and last day (UTC) that its values may have.
        outside: How a row with another day is treated: `bad`, or `skip` when another load takes it.
        digits: What happens to digits that an exact number has beyond its column's scale.
        delimiter: Of CSV.
        day: Table column (DATE or TIMESTAMP) whose days are counted.
        bad_rows: `stop`: a row that does not fit is an error. `set_aside`: it is left out and returned.
        in_order: Whether the staged rows keep the file's order, by which a merge finds the last of two rows with one
            key. It takes three times as long to stage them so.
    """

    path: Path
    format: FileFormat
    name: str
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    rest: str = ""
    drop_rest: bool = False
    whole: str = ""
    digest: str = ""
    homeless: Mapping[str, str] = field(default_factory=dict)
    nulls: tuple[str, ...] = ("",)
    formats: Mapping[str, str] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    between: Mapping[str, tuple[date, date]] = field(default_factory=dict)
    outside: Literal["bad", "skip"] = "bad"
    digits: Literal["refuse", "round"] = "refuse"
    delimiter: str = ","
    day: str = ""
    bad_rows: Literal["stop", "set_aside"] = "stop"
    bad_rows_max: int = 1_000
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that does not fit. `line`: where it begins in the file, 0 where lines mean nothing; `row`: its number.

    `problems`: table column → what is wrong with its value; `content`: the row as the file has it, as JSON.
    """

    row: int
    line: int
    problems: Mapping[str, str]
    content: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else f"row {self.row}"
        return f"{where}: " + "; ".join(f"column {name!r} {problem}" for name, problem in self.problems.items())


@dataclass(frozen=True, slots=True)
class StagedFile:
    """What was staged of a file: its columns in order, how many rows fit, days of `RowFile.day`, rows set aside."""

    columns: tuple[str, ...]
    rows: int
    days: tuple[date, ...] = ()
    bad: tuple[BadRow, ...] = ()
