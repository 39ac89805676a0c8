"""Indexes of fields that move with the clock, in parts.

Such a field may be written 500 times a second in a collection when it is indexed; below a field that takes one of N
values it may be N times as often (Firestore, best practices: sequential values). Writers put a document into its part,
and queries ask every part and merge.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from convergence.adapters.gcp.documents.query import Query, Row

SHARDS: Final = 16

Ask = Callable[[int, Sequence[Any] | None, int], Awaitable[list[Row]]]  # (limit, after, shard)


def shard_of(path: str) -> int:
    """Return a document's shard: it depends on the path alone, so a patch never moves it."""
    return zlib.crc32(path.encode()) % SHARDS


async def merged(query: Query, limit: int, after: Sequence[Any] | None, ask: Ask) -> list[Row]:
    """Return the first `limit` rows of all shards behind `after`, in the order of `query`.

    Each shard gives a part; what sorts behind the last row of a shard that has more is not known yet, so that shard is
    asked again.
    """
    part = 2 + 2 * limit // SHARDS
    first = await asyncio.gather(*(ask(part, after, shard) for shard in range(SHARDS)))
    found = [row for rows in first for row in rows]
    open_ends = {id(rows[-1]): shard for shard, rows in enumerate(first) if len(rows) == part}
    while True:
        found = query.sorted(found)
        known = next((at for at, row in enumerate(found, 1) if id(row) in open_ends), None)
        if known is None or known >= limit:
            return found[:limit]
        last = found[known - 1]
        shard = open_ends.pop(id(last))
        more = await ask(part, last[0], shard)
        found += more
        if len(more) == part:
            open_ends[id(more[-1])] = shard
