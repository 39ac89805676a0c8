"""The progress of a step with its deliveries, which a checkpoint holds between two slices of its work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from convergence.ports.object_store import StoredObject
from convergence.ports.warehouse import StagedFile


@dataclass(slots=True)
class Staged:
    """What is staged of one delivery; `files` are its files so far, `columns` those of `first`, the first full one.

    `delivery` is its fingerprint: files of another one must not join these.
    """

    delivery: str
    files: int = 0
    bytes: int = 0
    rows: int = 0
    bad: int = 0
    days: set[date] = field(default_factory=set)
    at: datetime | None = None  # when the newest file was written
    first: str = ""
    columns: tuple[str, ...] = ()

    def add(self, name: str, came: StoredObject, staged: StagedFile) -> None:
        """Count a file."""
        self.files += 1
        self.bytes += came.size
        self.rows += staged.rows
        self.bad += len(staged.bad)
        self.days |= set(staged.days)
        self.at = came.modified if self.at is None else max(self.at, came.modified)
        if staged.columns and not self.columns:
            self.first, self.columns = name, staged.columns


@dataclass(slots=True)
class Progress:
    """`periods` are done, with the figures of their loads; `staged` is what there is of the next one."""

    periods: int = 0
    rows: int = 0
    written: int = 0
    bad: int = 0
    files: int = 0
    deliveries: list[str] = field(default_factory=list)
    staged: Staged | None = None
    changes: list[str] = field(default_factory=list)  # of an inferred table, in words; not in a checkpoint

    def finish(self, delivery: str, staged: Staged, written: int) -> None:
        """Count a period whose delivery is loaded."""
        self.periods += 1
        self.rows += staged.rows + staged.bad
        self.written += written
        self.bad += staged.bad
        self.files += staged.files
        self.deliveries.append(delivery)
        self.staged = None

    @property
    def rows_read(self) -> int:
        """Rows of all files so far."""
        return self.rows + (self.staged.rows + self.staged.bad if self.staged is not None else 0)

    @classmethod
    def of(cls, checkpoint: Any) -> Progress:
        """Return the progress of a slice; that of the first one when there is no checkpoint."""
        if checkpoint is None:
            return cls()
        found = dict(checkpoint)
        staged = found.pop("staged")
        if staged is not None:
            at = datetime.fromisoformat(staged["at"]) if staged["at"] else None
            held = {"at": at, "days": set(_days(staged["days"])), "columns": tuple(staged["columns"])}
            staged = Staged(**{**staged, **held})
        return cls(**{**found, "deliveries": list(found["deliveries"])}, staged=staged)

    def checkpoint(self) -> dict[str, Any]:
        """Return JSON; days as ranges, since a delivery may have thousands."""
        names = ("periods", "rows", "written", "bad", "files")
        staged = None
        if self.staged is not None:
            own = self.staged
            counts = {name: getattr(own, name) for name in ("delivery", "files", "bytes", "rows", "bad", "first")}
            at = own.at.isoformat() if own.at is not None else ""
            staged = {**counts, "at": at, "days": _ranges(own.days), "columns": list(own.columns)}
        return {**{name: getattr(self, name) for name in names}, "deliveries": self.deliveries, "staged": staged}


def _ranges(days: Iterable[date]) -> list[list[int]]:
    """Return first day (ordinal) and length of each range of days."""
    found: list[list[int]] = []
    for day in sorted(each.toordinal() for each in days):
        if found and day == found[-1][0] + found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([day, 1])
    return found


def _days(ranges: Sequence[Sequence[int]]) -> Iterable[date]:
    return (date.fromordinal(first + number) for first, count in ranges for number in range(count))
