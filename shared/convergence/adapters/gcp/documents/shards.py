"""Indexes of fields that move with the clock, in parts.

Such a field may be written 500 times a second in a collection when it is indexed; below a field that takes one of N
values it may be N times as often (Firestore, best practices: sequential values). Writers put a document into its part,
and a query names all parts: Firestore reads each part's index and merges them in the requested order. An `in` of at
most 30 values is one query, whose minimum charge is one read.
"""

from __future__ import annotations

import zlib
from typing import Final

SHARDS: Final = 16


def shard_of(path: str) -> int:
    """Return a document's shard: it depends on the path alone, so a patch never moves it."""
    return zlib.crc32(path.encode()) % SHARDS
