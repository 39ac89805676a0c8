"""Parquet files of optional columns, written row group by row group: equal rows make equal bytes in every installation.

https://parquet.apache.org/docs/file-format/. Values are plain, pages compressed with gzip.
"""

from __future__ import annotations

import gzip
import struct as packed
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import IO, Final, NamedTuple

from convergence.domain.money import EXACT
from convergence.errors import SchemaMismatch
from convergence.processors.focus.export import thrift
from convergence.processors.focus.export.datasets import Field, Kind
from convergence.processors.focus.export.thrift import BINARY, I32, I64, LIST, STRUCT, TRUE, Member, whole

SCALE: Final = 14  # digits after the point of DECIMAL, which FOCUS bounds
GROUP_ROWS: Final = 10_000
_MAGIC: Final = b"PAR1"
_DIGITS: Final = 38
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RLE, _GZIP, _OPTIONAL, _NOTHING = whole(3), whole(2), whole(1), thrift.struct()


class _Type(NamedTuple):
    """How Parquet has the values of a kind: number of the physical type, what describes the logical one, a value."""

    physical: int
    described: tuple[Member, ...]
    encode: Callable[[str], bytes]


class ParquetFile:
    """A file that grows by rows of texts; an empty text is null. No reader can open it before `finish`."""

    def __init__(self, file: IO[bytes], fields: Sequence[Field]) -> None:
        self._file, self._fields, self._rows = file, fields, 0
        self._waiting: list[Sequence[str]] = []
        self._groups: list[bytes] = []
        file.write(_MAGIC)

    def writerows(self, rows: Iterable[Sequence[str]]) -> None:
        """Add rows, a text for each column. Raises `SchemaMismatch` for one that is not of its column's type."""
        for row in rows:
            self._waiting.append(row)
            if len(self._waiting) == GROUP_ROWS:
                self._write_group()

    def finish(self) -> None:
        """Write the remaining rows and the footer."""
        if self._waiting:
            self._write_group()
        root = thrift.struct(Member(4, BINARY, thrift.text("rows")), Member(5, I32, whole(len(self._fields))))
        footer = thrift.struct(
            Member(1, I32, whole(1)),
            Member(2, LIST, thrift.several(STRUCT, [root, *map(_element, self._fields)])),
            Member(3, I64, whole(self._rows)),
            Member(4, LIST, thrift.several(STRUCT, self._groups)),
            Member(6, BINARY, thrift.text("convergence")),
        )
        self._file.write(footer + packed.pack("<I", len(footer)) + _MAGIC)

    def _write_group(self) -> None:
        chunks, size = [], 0
        for field, texts in zip(self._fields, zip(*self._waiting, strict=True), strict=True):
            chunk, length = self._write_chunk(field, texts)
            chunks.append(chunk)
            size += length
        self._groups.append(
            thrift.struct(
                Member(1, LIST, thrift.several(STRUCT, chunks)),
                Member(2, I64, whole(size)),
                Member(3, I64, whole(len(self._waiting))),
            )
        )
        self._rows += len(self._waiting)
        self._waiting = []

    def _write_chunk(self, field: Field, texts: Sequence[str]) -> tuple[bytes, int]:
        """Write the values of a column as one page; return its metadata, and its bytes before compression."""
        levels = _levels(texts)
        page = packed.pack("<I", len(levels)) + levels + b"".join(_values(field, texts))
        small = gzip.compress(page, mtime=0)
        header, at = _page_header(len(page), len(small), len(texts)), self._file.tell()
        self._file.write(header + small)
        size = len(header) + len(page)
        meta = thrift.struct(
            Member(1, I32, whole(_TYPES[field.kind].physical)),
            Member(2, LIST, thrift.several(I32, [whole(0), _RLE])),
            Member(3, LIST, thrift.several(BINARY, [thrift.text(field.name)])),
            Member(4, I32, _GZIP),
            Member(5, I64, whole(len(texts))),
            Member(6, I64, whole(size)),
            Member(7, I64, whole(len(header) + len(small))),
            Member(9, I64, whole(at)),
        )
        return thrift.struct(Member(2, I64, whole(at)), Member(3, STRUCT, meta)), size


def _element(field: Field) -> bytes:
    """Return the element of the schema for a column."""
    kind = _TYPES[field.kind]
    length = [Member(2, I32, whole(16))] if field.kind == "DECIMAL" else []
    name = [Member(3, I32, _OPTIONAL), Member(4, BINARY, thrift.text(field.name))]
    return thrift.struct(Member(1, I32, whole(kind.physical)), *length, *name, *kind.described)


def _page_header(plain: int, small: int, rows: int) -> bytes:
    page = thrift.struct(
        Member(1, I32, whole(rows)), Member(2, I32, whole(0)), Member(3, I32, _RLE), Member(4, I32, _RLE)
    )
    sizes = Member(2, I32, whole(plain)), Member(3, I32, whole(small))
    return thrift.struct(Member(1, I32, whole(0)), *sizes, Member(5, STRUCT, page))


def _levels(texts: Sequence[str]) -> bytes:
    """Return which values are there: one run where all or none are, else a bit for each, the lowest one first."""
    there = sum(map(bool, texts))
    if there in (0, len(texts)):
        return thrift.unsigned(len(texts) << 1) + bytes([there > 0])
    groups = -(-len(texts) // 8)
    bits = int("".join("1" if text else "0" for text in reversed(texts)), 2)
    return thrift.unsigned(groups << 1 | 1) + bits.to_bytes(groups, "little")


def _values(field: Field, texts: Sequence[str]) -> Iterable[bytes]:
    try:
        return [_TYPES[field.kind].encode(text) for text in texts if text]
    except (ValueError, InvalidOperation, OverflowError) as error:
        raise SchemaMismatch(f"the file cannot be Parquet: column {field.name!r}: {error}") from error


def _string(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(4, "little") + raw


@lru_cache(maxsize=65_536)
def _decimal(text: str) -> bytes:
    scaled = EXACT.scaleb(Decimal(text), SCALE)
    if scaled.copy_abs() >= 10**_DIGITS or scaled != scaled.to_integral_value(context=EXACT):
        raise ValueError(f"{text} has more than {_DIGITS - SCALE} digits before or {SCALE} after the decimal point")
    return int(scaled).to_bytes(16, "big", signed=True)


@lru_cache(maxsize=65_536)
def _timestamp(text: str) -> bytes:
    return packed.pack("<q", (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1))


@lru_cache(maxsize=65_536)
def _date(text: str) -> bytes:
    return packed.pack("<i", (date.fromisoformat(text) - _EPOCH.date()).days)


def _described(converted: int, logical: int, value: bytes, *more: Member) -> tuple[Member, ...]:
    union = thrift.struct(Member(logical, STRUCT, value))
    return Member(6, I32, whole(converted)), *more, Member(10, STRUCT, union)


_SCALE_OF, _PRECISION = whole(SCALE), whole(_DIGITS)
_MICROSECONDS = thrift.struct(Member(1, TRUE, b""), Member(2, STRUCT, thrift.struct(Member(2, STRUCT, _NOTHING))))
_TYPES: Final[dict[Kind, _Type]] = {
    "STRING": _Type(6, _described(0, 1, _NOTHING), _string),
    "DECIMAL": _Type(
        7,
        _described(
            5,
            5,
            thrift.struct(Member(1, I32, _SCALE_OF), Member(2, I32, _PRECISION)),
            Member(7, I32, _SCALE_OF),
            Member(8, I32, _PRECISION),
        ),
        _decimal,
    ),
    "TIMESTAMP": _Type(2, _described(10, 8, _MICROSECONDS), _timestamp),
    "DATE": _Type(1, _described(6, 6, _NOTHING), _date),
}
