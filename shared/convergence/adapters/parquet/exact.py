"""Times of a Parquet file that may have nanoseconds, made readable with all their digits.

Columns store microseconds. DuckDB and BigQuery cut further digits of INT96 without a word, and what BigQuery makes of
annotated nanoseconds is not documented. So the file's own schema is changed before it is read: such a column becomes
its plain number (INT64), or its 12 bytes (INT96), which are stored in the same way. The warehouse makes a text of it
(`text`), and judges its digits like those of any text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from convergence.adapters.parquet.footer import FIXED, INT64, INT96, MAGIC, REPEATED, Field, Footer, read_footer
from convergence.adapters.parquet.thrift import BINARY, I32, LIST, STRUCT, Reader, member, unsigned, whole
from convergence.adapters.row_files import Fed
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import RowFile

JULIAN_1970 = 2_440_588  # the day of an INT96 that is 1 January 1970


def read_exactly(file: RowFile) -> Footer:
    """Return the footer of a file, whose columns with nanoseconds are plain numbers and bytes afterwards.

    Raises:
        SchemaMismatch: it is not a Parquet file.
    """
    try:
        footer = read_footer(file.path)
    except ValueError as error:
        raise SchemaMismatch(f"{file.name}: it cannot be read as Parquet: {error}.") from error
    if names := {field.name for field in footer.columns if is_made_plain(field)}:
        make_plain(file.path, footer, names)
    return footer


def is_made_plain(field: Field) -> bool:
    """Return whether `read_exactly` changes a column."""
    return field.is_finer and field.repetition != REPEATED


def make_plain(path: Path, footer: Footer, names: Collection[str]) -> None:
    """Change the columns `names` of a file to plain numbers and bytes."""
    old, out, before = footer.data, bytearray(), 0
    changed = [field for field in footer.columns if field.name in names]
    for field in changed:
        begin, end = field.at
        out += old[before:begin] + _plain(field)
        before = end
    paths = {field.name for field in changed if field.physical == INT96}
    tail = bytearray(old[before:])
    for place in _types_of(Reader(old), paths) if paths else ():
        tail[place - before] = whole(FIXED)[0]
    out += tail
    with path.open("r+b") as file:
        file.seek(footer.start)
        file.write(bytes(out) + len(out).to_bytes(4, "little") + MAGIC)
        file.truncate()


def refuse_finer_inside(file: RowFile, footer: Footer, fed: Fed) -> None:
    """Raise `SchemaMismatch` for nanoseconds inside of lists, maps and records, which no warehouse reads exactly."""
    used = {*fed.sources.values(), *fed.rest}
    for place, column in enumerate(footer.columns):
        if place not in used and not file.whole and not file.digest:
            continue
        for field in (*_inside(column), *([column] if column.repetition == REPEATED else [])):
            if field.is_finer and not (field.physical == INT96 and footer.is_of_spark):
                raise SchemaMismatch(
                    f"{file.name}: the column {column.name!r} has times with nanoseconds inside of it"
                    f" ({field.name!r}), which no column stores. Write them in microseconds, such as with"
                    " coerce_timestamps='us' (pyarrow) or spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS."
                )


def _inside(field: Field) -> Iterator[Field]:
    for each in field.fields:
        yield each
        yield from _inside(each)


def _plain(field: Field) -> bytes:
    """Return the schema element of a column without its annotation."""
    name = field.name.encode()
    kind, length = (FIXED, member(1, I32, whole(12))) if field.physical == INT96 else (INT64, b"")
    repetition = member(1 if length else 2, I32, whole(field.repetition))
    return member(1, I32, whole(kind)) + length + repetition + member(1, BINARY, unsigned(len(name)) + name) + b"\0"


def _types_of(reader: Reader, names: Collection[str]) -> Iterator[int]:
    """Yield where the types of these columns are in the metadata of all row groups."""
    for number, kind in reader.members():
        if number != 4 or kind != LIST:  # FileMetaData.row_groups
            reader.skip(kind)
            continue
        for _ in range(reader.items()[0]):
            yield from _types_in_group(reader, names)


def _types_in_group(reader: Reader, names: Collection[str]) -> Iterator[int]:
    for number, kind in reader.members():
        if number != 1 or kind != LIST:  # RowGroup.columns
            reader.skip(kind)
            continue
        for _ in range(reader.items()[0]):
            for part, inner in reader.members():
                if part != 3 or inner != STRUCT:  # ColumnChunk.meta_data
                    reader.skip(inner)
                elif (place := _type_of(reader, names)) is not None:
                    yield place


def _type_of(reader: Reader, names: Collection[str]) -> int | None:
    """Return where the type of a column is in its metadata, if it is one of `names`."""
    at, path = None, list[str]()
    for number, kind in reader.members():
        if number == 1 and kind == I32:  # ColumnMetaData.type
            at = reader.at
            reader.skip(kind)
        elif number == 3 and kind == LIST:  # ColumnMetaData.path_in_schema
            path = [reader.text() for _ in range(reader.items()[0])]
        else:
            reader.skip(kind)
    return at if len(path) == 1 and path[0] in names else None
