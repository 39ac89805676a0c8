"""The statements that the second check has admitted, as long as the catalogue does not change.

A verdict holds for one version of the catalogue. Every statement that may define something begins another version
before it runs; until its job has ended no version is certain, and nothing is remembered or looked up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

REMEMBERED: Final = 1024
# DuckDB's kinds of statements that define nothing. EXPLAIN runs what it explains only with ANALYZE, which no text of
# the product has and the fence refuses in a user's.
_DEFINE_NOTHING: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "EXPLAIN", "TRANSACTION"})


def may_define(kind: str) -> bool:
    """Whether a statement of this kind may change the catalogue; what is not known here may."""
    return kind not in _DEFINE_NOTHING


class Verdicts:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version = self._changing = 0
        self._admitted: set[Hashable] = set()

    @property
    def version(self) -> int | None:
        """The catalogue's version; None while a job may change it."""
        with self._lock:
            return None if self._changing else self._version

    def begin_change(self) -> None:
        """From here on something may be defined."""
        with self._lock:
            self._version += 1
            self._changing += 1
            self._admitted = set()

    def end_change(self) -> None:
        """What was defined is committed or rolled back."""
        with self._lock:
            self._changing -= 1

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Something may be defined inside."""
        self.begin_change()
        try:
            yield
        finally:
            self.end_change()

    def has(self, version: int, key: Hashable) -> bool:
        """Whether the statement was admitted at this version."""
        with self._lock:
            return version == self._version and key in self._admitted

    def add(self, version: int, key: Hashable) -> None:
        """Remember that the statement was admitted at this version."""
        with self._lock:
            if version == self._version and not self._changing:
                if len(self._admitted) >= REMEMBERED:
                    self._admitted = set()
                self._admitted.add(key)
