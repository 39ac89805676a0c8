"""Thrift's compact protocol, as much of it as the metadata of Parquet needs; every value is its bytes.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

TRUE: Final = 1
I32: Final = 5
I64: Final = 6
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12


class Member(NamedTuple):
    """A field of a struct: its number, its type, its value."""

    number: int
    kind: int
    value: bytes


def unsigned(value: int) -> bytes:
    """Return a number without a sign: seven bits a byte, the lowest ones first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def whole(value: int) -> bytes:
    """Return a number of 32 or 64 bits."""
    return unsigned(value << 1 ^ value >> 63)


def text(value: str) -> bytes:
    """Return a string."""
    raw = value.encode()
    return unsigned(len(raw)) + raw


def struct(*members: Member) -> bytes:
    """Return a struct; its fields come in the order of their numbers, which are at most 15 apart."""
    out, before = bytearray(), 0
    for number, kind, value in members:
        out.append((number - before) << 4 | kind)
        out += value
        before = number
    return bytes(out) + b"\0"


def several(kind: int, values: Sequence[bytes]) -> bytes:
    """Return a list."""
    head = bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xF0 | kind]) + unsigned(len(values))
    return head + b"".join(values)
