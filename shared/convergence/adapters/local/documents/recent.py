"""The documents read or written last, so that one just written is not read from the file again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_SIZE_MAX: Final = 2**20  # characters
Key = tuple[str, str]  # collection, id
Stored = tuple[int, str]  # version, body


class Recent:
    """The bodies read or written last. It holds no more than what the file holds, so losing it loses nothing."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Stored] = OrderedDict()
        self._size = 0
        self.get = self._kept.get

    def put(self, key: Key, stored: Stored) -> None:
        """Keep a body; beyond the size the oldest are dropped."""
        self.drop(key)
        self._kept[key] = stored
        self._size += len(stored[1])
        while self._size > _SIZE_MAX:
            _, (_, body) = self._kept.popitem(last=False)
            self._size -= len(body)

    def drop(self, key: Key) -> None:
        """Forget one."""
        stored = self._kept.pop(key, None)
        if stored is not None:
            self._size -= len(stored[1])

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._size = 0
