"""Versioned documents: the only place where state survives (design: docs/engine.md §2).

A path alternates collection and id: `runs/r1`, `runs/r1/steps/extract`. Data is JSON: str, int, float, bool,
None, list, dict with str keys. Times are stored as text by `convergence.domain.times`, so they sort.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

Data = dict[str, Any]
FieldPath = tuple[str, ...]
Operator = Literal["==", "<", "<=", ">", ">=", "in", "array-contains"]


class Document:
    """A stored document. `data` is the caller's own copy; `version` is opaque and changes with each write.

    An adapter passes `data` or a function that returns it: many readers only need the version.
    """

    __slots__ = ("_data", "_make", "path", "version")

    def __init__(self, path: str, version: int, data: Data | Callable[[], Data]) -> None:
        self.path = path
        self.version = version
        self._make = data if callable(data) else None
        self._data = None if callable(data) else data

    @property
    def data(self) -> Data:
        """The document's fields."""
        if self._data is None:
            assert self._make is not None, "a document has data or a way to make it"
            self._data = self._make()
        return self._data


class Create(NamedTuple):
    """Write a document that must not exist."""

    path: str
    data: Data


class Replace(NamedTuple):
    """Write a document whose stored version must be `version`."""

    path: str
    version: int
    data: Data


class Patch(NamedTuple):
    """Set and unset fields of a document that must exist; all other fields stay.

    Unsetting an absent field is not an error. Parents of a set field are made as needed.
    """

    path: str
    set: Mapping[FieldPath, Any] = {}
    unset: Sequence[FieldPath] = ()


class Delete(NamedTuple):
    """Remove a document; absent is fine when `version` is None, else it must be stored at that version."""

    path: str
    version: int | None = None


Write = Create | Replace | Patch | Delete


class Where(NamedTuple):
    """`field operator value`; a document without the field never matches. A field path is dotted."""

    field: str
    operator: Operator
    value: Any


class Order(NamedTuple):
    """Order by a field; documents without it are left out, as in Firestore."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query. `cursor` is None on the last page."""

    documents: list[Document]
    cursor: str | None


class Index(NamedTuple):
    """Fields that queries on a collection name use together: equal in all but the last, ordered by the last.

    Collection `runs` is not `runs/r1/steps`: a nested collection is named by the last part of its path, `steps`.
    `sharded`: the field increases with time in every document, and more than 500 of them may be written in a second
    (Firestore, best practices: sequential values). `array`: the one of the fields that holds a list. `descending`: the
    queries return the greatest value of the last field first.
    """

    collection: str
    fields: tuple[str, ...]
    sharded: bool = False
    array: str = ""
    descending: bool = False


class Documents(Protocol):
    """Strongly consistent: a read that begins after a commit returned sees it.

    Every method raises `Transient` when the store cannot be reached; after a `Transient` from `commit` the
    writes may or may not have been applied, so writers put a fresh token into each document.
    """

    async def get(self, path: str) -> Document | None:
        """Return the document, or None."""
        ...

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        """Return one entry for each path, in order, all as of one moment."""
        ...

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        """Apply all writes or none, durably; return the new version of each (0 for a Delete).

        A path may occur once. All writes together hold at most 10 MiB (Firestore, quotas: API request).

        Raises:
            Conflict: a precondition did not hold. Which one is not reliably reported: read everything again.
        """
        ...

    async def query(
        self,
        collection: str,
        *,
        where: Sequence[Where] = (),
        order: Sequence[Order] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Return the documents directly in `collection`, ordered by `order`, then by path."""
        ...

    async def count(self, collection: str, *, where: Sequence[Where] = ()) -> int:
        """Count what `query` would return without a limit."""
        ...
