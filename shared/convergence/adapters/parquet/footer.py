"""The schema of a Parquet file, read from its footer: names, types and nesting, as its writer gave them.

https://parquet.apache.org/docs/file-format/metadata/. No library of the deployed functions reads Parquet, and what
DuckDB and BigQuery say of a file differs: a time without a zone, INT96, names with spaces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from convergence.adapters.parquet.thrift import BINARY, I32, LIST, STRUCT, TRUE, Reader

MAGIC: Final = b"PAR1"
TAIL: Final = 8  # bytes after the footer: its length, and the magic number
FOOTER_MAX: Final = 64 * 2**20
BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
NANOS: Final = "NANOS"
REPEATED: Final = 2
_DEPTH_MAX: Final = 100
_SPARK: Final = b"org.apache.spark.version"
# Numbers of the older annotations → those of today, as far as they mean the same.
_CONVERTED: Final = {
    0: "STRING",
    1: "MAP",
    2: "MAP",
    3: "LIST",
    4: "ENUM",
    5: "DECIMAL",
    6: "DATE",
    7: "TIME",
    8: "TIME",
    9: "TIMESTAMP",
    10: "TIMESTAMP",
    **dict.fromkeys(range(11, 19), "INTEGER"),
    19: "JSON",
    20: "BSON",
    21: "INTERVAL",
}
_LOGICAL: Final = {
    1: "STRING",
    2: "MAP",
    3: "LIST",
    4: "ENUM",
    5: "DECIMAL",
    6: "DATE",
    7: "TIME",
    8: "TIMESTAMP",
    10: "INTEGER",
    11: "NULL",
    12: "JSON",
    13: "BSON",
    14: "UUID",
    15: "FLOAT16",
}
_UNITS: Final = {1: "MILLIS", 2: "MICROS", 3: NANOS}


@dataclass(frozen=True, slots=True)
class Field:
    """A part of a schema: a column, or what is inside of one.

    `logical` is its annotation ('' for none), `utc` and `unit` are those of a time; `at` is where the element is in
    the footer, from the first byte up to its end.
    """

    name: str
    physical: int | None
    length: int
    repetition: int
    logical: str
    utc: bool
    unit: str
    precision: int
    scale: int
    at: tuple[int, int]
    fields: tuple[Field, ...] = ()

    @property
    def is_finer(self) -> bool:
        """Whether its times may have more digits than microseconds have."""
        return self.physical == INT96 or self.unit == NANOS


@dataclass(frozen=True, slots=True)
class Footer:
    """The columns of a file; `start` is where the footer begins in it, `data` its bytes."""

    columns: tuple[Field, ...]
    start: int
    data: bytes

    @property
    def is_of_spark(self) -> bool:
        """Whether Spark wrote the file: its times are whole microseconds, also as INT96."""
        return _SPARK in self.data


def read_footer(path: Path) -> Footer:
    """Return the footer of a file. Raises `ValueError` with the reason that it cannot be read."""
    with path.open("rb") as file:
        start, data = _bytes(file)
    reader = Reader(data)
    for number, kind in reader.members():
        if number == 2 and kind == LIST:  # FileMetaData.schema
            return Footer(_columns(reader), start, data)
        reader.skip(kind)
    raise ValueError("its footer has no schema")


def _bytes(file: IO[bytes]) -> tuple[int, bytes]:
    size = file.seek(0, 2)
    if size < len(MAGIC) + TAIL:
        raise ValueError("it is too short")
    file.seek(size - TAIL)
    tail = file.read(TAIL)
    if tail[4:] != MAGIC:
        raise ValueError("it does not end as a Parquet file does")
    length = int.from_bytes(tail[:4], "little")
    start = size - TAIL - length
    if start < len(MAGIC) or length > FOOTER_MAX:
        raise ValueError("the length of its footer is wrong")
    file.seek(start)
    return start, file.read(length)


def _columns(reader: Reader) -> tuple[Field, ...]:
    count, _ = reader.items()
    elements = [_element(reader) for _ in range(count)]
    if not elements:
        raise ValueError("its schema is empty")
    root, place = _tree(elements, 0, 0)
    if place != count:
        raise ValueError("its schema has parts that belong to nothing")
    return root.fields


def _tree(elements: list[tuple[Field, int]], place: int, depth: int) -> tuple[Field, int]:
    """Return the part at `place` with those inside it, and the place behind them."""
    if place >= len(elements) or depth > _DEPTH_MAX:
        raise ValueError("its schema is incomplete, or nested too deeply")
    field, children = elements[place]
    place += 1
    inner = []
    for _ in range(children):
        found, place = _tree(elements, place, depth + 1)
        inner.append(found)
    return replace(field, fields=tuple(inner)), place


def _element(reader: Reader) -> tuple[Field, int]:
    """Return one part of the schema, and how many are inside it."""
    begin = reader.at
    numbers: dict[int, int] = {}
    name, logical, utc, unit = "", "", False, ""
    for number, kind in reader.members():
        if kind == I32:
            numbers[number] = reader.number()
        elif number == 4 and kind == BINARY:  # name
            name = reader.text()
        elif number == 10 and kind == STRUCT:  # logicalType
            logical, utc, unit = _annotation(reader)
        else:
            reader.skip(kind)
    converted = numbers.get(6, -1)
    if not logical:
        logical = _CONVERTED.get(converted, "")
        utc = logical in {"TIME", "TIMESTAMP"}  # the older annotations mean UTC
        unit = {7: "MILLIS", 8: "MICROS", 9: "MILLIS", 10: "MICROS"}.get(converted, "")
    return Field(
        name=name,
        physical=numbers.get(1),
        length=numbers.get(2, 0),
        repetition=numbers.get(3, 0),
        logical=logical,
        utc=utc,
        unit=unit,
        precision=numbers.get(8, 0),
        scale=numbers.get(7, 0),
        at=(begin, reader.at),
    ), numbers.get(5, 0)


def _annotation(reader: Reader) -> tuple[str, bool, str]:
    """Return the name of a logical type, and of a time whether it is in UTC, and its unit."""
    name, utc, unit = "", False, ""
    for number, kind in reader.members():
        name = _LOGICAL.get(number, "")
        if name not in {"TIME", "TIMESTAMP"} or kind != STRUCT:
            reader.skip(kind)
            continue
        for part, inner in reader.members():
            if part == 2 and inner == STRUCT:  # unit
                for each, empty in reader.members():
                    unit = _UNITS.get(each, "")
                    reader.skip(empty)
            else:
                utc = utc or (part == 1 and inner == TRUE)
                reader.skip(inner)
    return name, utc, unit
