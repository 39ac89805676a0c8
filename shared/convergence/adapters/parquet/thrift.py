"""Thrift's compact protocol, as far as reading the metadata of Parquet needs it.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_STOP: Final = 0
_DEPTH_MAX: Final = 32


class Reader:
    """Reads values one after another; `at` is the place of the next one. Raises `ValueError` for anything else."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def number(self) -> int:
        """Return a number of 16, 32 or 64 bits."""
        found = self._unsigned()
        return found >> 1 ^ -(found & 1)

    def text(self) -> str:
        """Return a string."""
        size = self._unsigned()
        self.at += size
        if self.at > len(self.data):
            raise ValueError("a text does not end")
        return self.data[self.at - size : self.at].decode()

    def members(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a struct; the caller reads or skips its value."""
        number = 0
        while (head := self._byte()) != _STOP:
            step, kind = head >> 4, head & 0x0F
            number = number + step if step else self.number()
            yield number, kind

    def items(self) -> tuple[int, int]:
        """Return how many items a list has, and their type; the caller reads or skips them."""
        head = self._byte()
        count = head >> 4
        return (self._unsigned() if count == 15 else count), head & 0x0F  # as the protocol says

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value of this type, which is a field's: those of booleans are in their types."""
        if depth > _DEPTH_MAX:
            raise ValueError("it is nested too deeply")
        if kind in {BYTE, I16, I32, I64}:
            self._unsigned() if kind != BYTE else self._byte()
        elif kind == DOUBLE:
            self.at += 8
        elif kind == BINARY:
            self.at += self._unsigned()
        elif kind in {LIST, SET}:
            count, inner = self.items()
            for _ in range(count):
                self._byte() if inner in {TRUE, FALSE} else self.skip(inner, depth + 1)
        elif kind == STRUCT:
            for _, inner in self.members():
                self.skip(inner, depth + 1)
        elif kind not in {TRUE, FALSE}:
            raise ValueError("a type that Parquet does not have")

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise ValueError("it does not end")
        self.at += 1
        return self.data[self.at - 1]

    def _unsigned(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # the highest bit says that more follow
                return found
            if shift > 63:  # bits of the longest number
                raise ValueError("a number is too long")


def member(step: int, kind: int, value: bytes) -> bytes:
    """Return a field of a struct, `step` after the one before, with the bytes of its value."""
    return bytes([step << 4 | kind]) + value


def whole(value: int) -> bytes:
    """Return the bytes of a number of 32 bits that is not negative."""
    return unsigned(value << 1)


def unsigned(value: int) -> bytes:
    """Return the bytes of a number without a sign: seven bits a byte, the lowest ones first."""
    out = bytearray()
    while value > 0x7F:  # seven bits
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
