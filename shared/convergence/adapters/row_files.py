"""Checks that all warehouses make before they read a file of rows: its header, and which column feeds which."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from convergence.errors import SchemaMismatch, did_you_mean
from convergence.ports.column_values import declared_type, type_name
from convergence.ports.http.json_text import has_long_number, quote_long_numbers, twin_key
from convergence.ports.warehouse import LINEAGE_COLUMNS, BadRow, Column, RowFile, TableSchema
from convergence.ports.warehouse.files import COLUMNS_MAX, FileFormat

PIECE: Final = 1 << 20  # bytes
HEADER_MAX: Final = 1 << 20  # characters
CLOCKS: Final = frozenset({"DATETIME", "TIMESTAMP", "TIME"})  # types whose seconds have six digits
_DATED: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_FINER: Final = re.compile(r":[0-9]{2}\.[0-9]{6}[0-9]*[1-9]", re.ASCII)
# 4/1/25, 1-Jan-2026, 2026.01.05; but not 2026-13-45
_OTHER_DATE: Final = re.compile(r"(?![0-9]{4}-)[0-9]{1,4}([/.-])[0-9A-Za-z]{1,9}\1[0-9]{1,4}\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fed:
    """The columns of a file, and for each column of the table what feeds it: the place of a column in the file."""

    names: tuple[str, ...]
    sources: Mapping[str, int]
    rest: tuple[int, ...]


def csv_header(file: RowFile) -> tuple[str, ...]:
    """Return the names in the first record of a CSV file; none for an empty file.

    Raises:
        SchemaMismatch: the header does not end within 1 MiB.
    """
    with file.path.open(encoding="utf-8", errors="replace", newline="") as lines:
        head = lines.read(HEADER_MAX)
    try:
        first = next(csv.reader(head.splitlines(keepends=True), delimiter=file.delimiter, strict=True), [])
    except csv.Error as error:
        raise SchemaMismatch(f"{file.name}: line 1: the header cannot be read: {error}.") from error
    if first and len(head) == HEADER_MAX and "\n" not in head and "\r" not in head:
        raise SchemaMismatch(f"{file.name}: line 1 does not end within 1 MiB: this is not a CSV file with a header.")
    return tuple(first)


def keep_digits(file: RowFile) -> None:
    """Turn numbers of NDJSON that a float cannot hold into strings: both warehouses read numbers as floats.

    A file without such a number stays as it is, at the cost of one look at its bytes.
    """
    if file.format is not FileFormat.NDJSON:
        return
    with file.path.open("rb") as lines:
        if not any(has_long_number(piece) for piece in _pieces(lines)):
            return
        lines.seek(0)
        exact = file.path.with_name(file.path.name + "-exact")
        with exact.open("wb") as out:
            for piece in _pieces(lines):
                out.write(quote_long_numbers(piece) if has_long_number(piece) else piece)
    exact.replace(file.path)


def refuse_odd_json(file: RowFile) -> None:
    """Raise `SchemaMismatch` for a line of NDJSON that is not JSON, or in which a key appears twice.

    Readers differ: DuckDB takes NaN and a comma at the end, and of two values with one key each keeps one.
    """
    if file.format is not FileFormat.NDJSON:
        return
    with file.path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                key = twin_key(line) if line.strip() else None
            except ValueError as error:
                raise SchemaMismatch(f"{file.name}: line {number}: this is not JSON.") from error
            if key is not None:
                raise SchemaMismatch(f"{file.name}: line {number}: the key {key[:100]!r} appears twice in one object.")


def _pieces(lines: IO[bytes]) -> Iterator[bytes]:
    """Yield whole lines, about 1 MiB of them."""
    while found := lines.readlines(PIECE):
        yield b"".join(found)


def is_pointer(file: RowFile, name: str) -> bool:
    """Return whether `RowFile.columns` means by `name` a field inside a value of NDJSON."""
    return name in wanted_pointers(file)


def pointers(file: RowFile, keys: Iterable[str]) -> tuple[str, ...]:
    """Return the pointers into values of `keys`; they are columns of the file like its keys."""
    known = set(keys)
    return tuple(name for name in wanted_pointers(file) if steps_of(name)[0] in known)


def wanted_pointers(file: RowFile) -> dict[str, None]:
    """Return JSON pointers of two keys or more, in their order."""
    if file.format is not FileFormat.NDJSON:
        return {}
    names = (name for names in file.columns.values() for name in names)
    return dict.fromkeys(name for name in names if name.startswith("/") and name.count("/") > 1)


def steps_of(pointer: str) -> list[str]:
    """Return the keys that a JSON pointer (RFC 6901) leads through."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def feed(file: RowFile, table: TableSchema, names: Sequence[str]) -> Fed:
    """Return which column of the file feeds which one of the table.

    Raises:
        SchemaMismatch: names that are empty, repeated (also in other case), unknown or missing.
    """
    _check_names(file, names)
    places = {name: place for place, name in enumerate(names)}
    sources: dict[str, int] = {}
    taken: set[int] = set()
    for column in _fed_columns(file, table):
        candidates = file.columns.get(column.name, (column.name,))
        place = next((places[name] for name in candidates if name in places), None)
        if place is not None:
            sources[column.name] = place
            taken.add(place)
        elif column.mode == "REQUIRED" or column.name not in file.optional:
            words = " or ".join(map(repr, candidates))
            raise SchemaMismatch(f"{file.name}: there is no column {words}.{did_you_mean(candidates[0], names)}")
    rest = tuple(place for place, name in enumerate(names) if place not in taken and not is_pointer(file, name))
    if rest and not file.rest and not file.drop_rest and not file.whole:
        unknown = names[rest[0]]
        raise SchemaMismatch(
            f"{file.name}: the column {unknown!r} matches no column of {table.name}"
            f" ({len(rest)} such columns).{did_you_mean(unknown, [column.name for column in table.columns])}"
        )
    return Fed(tuple(names), sources, rest if file.rest else ())


def staged_by(table: TableSchema) -> list[Column]:
    """Return the columns that rows bring: all but the lineage."""
    return [column for column in table.columns if column.name not in LINEAGE_COLUMNS]


def other_name(name: str) -> str:
    """Return the name in `RowFile.rest` of a column that the table does not have."""
    return name if name.startswith("x_") else f"x_{name}"


def by_name(file: RowFile, names: Sequence[str]) -> list[int]:
    """Return the places of a file's columns in the order of their names, in which `RowFile.digest` has them."""
    own = (place for place, name in enumerate(names) if not is_pointer(file, name))  # a pointer repeats a key's content
    return sorted(own, key=lambda place: names[place])


def problem_of(column: Column, file: RowFile, text: str = "") -> str:
    """Return a description of a value that does not fit; `text` is the value as the file has it."""
    if column.name in file.allowed:
        return f"is not one of {', '.join(file.allowed[column.name])}"[:200]
    if column.name in file.between:
        first, last = file.between[column.name]
        days = f"{first}" if first == last else f"from {first} to {last}"
        return f"is not {type_name(column)} {days}"
    kind = type_name(column)
    if kind in CLOCKS and _FINER.search(text):
        return f"is not {kind} of whole microseconds"
    if kind in _DATED and column.name not in file.formats and _OTHER_DATE.match(text):
        return f"is not {kind} in ISO 8601 (date_formats can define another form, such as %m/%d/%Y)"
    return f"is not {declared_type(column)}"


def refuse(file: RowFile, bad: Sequence[BadRow], rows: int) -> None:
    """Raise `SchemaMismatch` for bad rows that may not be set aside: any, too many, or all there are."""
    if not bad:
        return
    if file.bad_rows == "stop":
        more = f" ({len(bad)} such rows)" if len(bad) > 1 else ""
        raise SchemaMismatch(f"{file.name}: {bad[0]}{more}.")
    if len(bad) > file.bad_rows_max:
        raise SchemaMismatch(f"{file.name}: more than {file.bad_rows_max:,} rows do not fit, the first one: {bad[0]}.")
    if rows == 0:
        raise SchemaMismatch(f"{file.name}: none of its {len(bad):,} rows fits, the first one: {bad[0]}.")


def lines_of(file: RowFile, rows: Sequence[int]) -> dict[int, int]:
    """Return the line in which each of these records (from 1, in order) begins; the header is line 1."""
    candidates, found = set(rows), dict[int, int]()
    if file.format is FileFormat.PARQUET:
        return found
    records = _json_lines(file) if file.format is FileFormat.NDJSON else (line for line, _ in csv_records(file))
    for record, line in enumerate(records, 1):
        if record in candidates:
            found[record] = line
            if len(found) == len(candidates):
                break
    return found


def csv_records(file: RowFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the line in which each record begins, and its values; the header and blank lines are left out.

    It ends early at a value over 128 KiB.
    """
    with file.path.open(encoding="utf-8", errors="replace", newline="") as lines, contextlib.suppress(csv.Error):
        reader = csv.reader(lines, delimiter=file.delimiter)
        before, header = 0, True
        for record in reader:
            if record and not header:
                yield before + 1, record
            header = header and not record
            before = reader.line_num


def _json_lines(file: RowFile) -> Iterator[int]:
    with file.path.open(encoding="utf-8", newline="") as lines:
        yield from (number for number, line in enumerate(lines, 1) if line.strip())


def _fed_columns(file: RowFile, table: TableSchema) -> list[Column]:
    own = {*file.constants, file.rest, file.whole, file.digest}
    columns = [each for each in staged_by(table) if each.name not in own]
    typed = file.format is FileFormat.PARQUET and table.inferred  # its records come from such files
    for column in columns:
        if (type_name(column) == "STRUCT" and not typed) or column.mode == "REPEATED":
            raise SchemaMismatch(f"{table.name}: the column {column.name!r} is nested, which a file cannot fill.")
    return columns


def _check_names(file: RowFile, names: Sequence[str]) -> None:
    if file.format is FileFormat.PARQUET and len({name.lower() for name in names}) < len(names):
        raise SchemaMismatch(f"{file.name}: two of its columns have names that differ only in case.")
    if len(names) > COLUMNS_MAX:
        raise SchemaMismatch(f"{file.name}: the file has {len(names):,} columns; at most {COLUMNS_MAX:,} are read.")
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise SchemaMismatch(f"{file.name}: line 1: column {place} has no name.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SchemaMismatch(
            f"{file.name}: line 1: the column {repeated[0]!r} appears more than once, so its meaning is ambiguous."
        )
