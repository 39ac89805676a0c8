"""Records of documents that were decoded before. A version never holds two contents, so a hit is never stale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from convergence.ports.documents import Data, Document

_KEPT_MAX: Final = 512
T = TypeVar("T")


class Decoded(Generic[T]):
    """The latest record of each path, for the paths seen last."""

    def __init__(self, decode: Callable[[Data], T]) -> None:
        self._decode = decode
        self._kept: OrderedDict[str, tuple[int, T]] = OrderedDict()

    def of(self, document: Document) -> T:
        """Return the document's record."""
        known = self._kept.get(document.path)
        if known is not None and known[0] == document.version:
            return known[1]
        record = self._decode(document.data)
        self.keep(document.path, document.version, record)
        return record

    def keep(self, path: str, version: int, record: T) -> None:
        """Remember what was just written."""
        self._kept[path] = (version, record)
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
