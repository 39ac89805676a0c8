"""A backfill: one run for each slice of a range of days (design: docs/scheduling.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text

SLICES_MAX: Final = 1_100  # three years of days
CONCURRENCY_MAX: Final = 20


class Step(StrEnum):
    """How long a slice is; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Mode(StrEnum):
    """Which slices get a run: those that no run completed, those whose last run failed, or all."""

    MISSING = "missing"
    FAILED = "failed"
    ALL = "all"


class BackfillStatus(StrEnum):
    """`stopped`: so many of its runs failed that it went no further."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    DONE = "done"


class SliceState(StrEnum):
    """One character for each slice in the document."""

    OPEN = "."
    COMPLETE = "c"  # by earlier runs; not run again
    SKIPPED = "s"  # nothing has run for it, and the mode leaves that alone
    RUNNING = "r"  # by a run of the backfill, or by one that was under way before
    DONE = "d"
    FAILED = "f"
    CANCELLED = "x"


class Slice(NamedTuple):
    """A range of days, both included."""

    start: date
    end: date


@dataclass(frozen=True, kw_only=True)
class Backfill(StoredRecord):
    """The content of `backfills/{backfill_id}`.

    `window`: run id → index of its slice, of its runs that have not ended. `others`: run id → indexes of slices, of
    runs that were under way when it was created; how they end decides what becomes of these slices.
    """

    backfill_id: str
    org: str
    pipeline: str
    start: str  # the first day
    end: str  # the last day
    step: Step
    mode: Mode
    states: str
    created_at: datetime
    updated_at: datetime
    credential_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    newest_first: bool = True
    concurrency: int = 1
    failures_max: int = 10
    window: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, Sequence[int]] = field(default_factory=dict)
    status: BackfillStatus = BackfillStatus.RUNNING
    reason: str = ""
    next_check_at: datetime | None = None
    expire_at: datetime | None = None  # it may be removed then
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return f"backfills/{self.backfill_id}"

    @property
    def over(self) -> bool:
        """True when it starts no more runs."""
        return self.status in (BackfillStatus.CANCELLED, BackfillStatus.STOPPED, BackfillStatus.DONE)

    def counts(self) -> dict[str, int]:
        """Return how many slices are in each state, by the state's name."""
        found = Counter(self.states)
        return {state.name.lower(): found[state.value] for state in SliceState}

    def slices(self) -> list[Slice]:
        """Return its slices, oldest first."""
        return list(slices_of(date.fromisoformat(self.start), date.fromisoformat(self.end), self.step))

    def next_slices(self, count: int) -> list[int]:
        """Return the indexes of the next open slices, in its order."""
        indexes: Sequence[int] = range(len(self.states))
        if self.newest_first:
            indexes = range(len(self.states) - 1, -1, -1)
        return [index for index in indexes if self.states[index] == SliceState.OPEN.value][: max(0, count)]

    def with_states(self, changes: Mapping[int, SliceState]) -> str:
        """Return `states` with those of some slices changed."""
        letters = list(self.states)
        for index, state in changes.items():
            letters[index] = state.value
        return "".join(letters)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        data: dict[str, Any] = {
            **self.unknown,
            "backfill_id": self.backfill_id,
            "org": self.org,
            "pipeline": self.pipeline,
            "start": self.start,
            "end": self.end,
            "step": self.step,
            "mode": self.mode,
            "states": self.states,
            "created_at": to_text(self.created_at),
            "updated_at": to_text(self.updated_at),
            "credential_id": self.credential_id,
            "parameters": self.parameters,
            "newest_first": self.newest_first,
            "concurrency": self.concurrency,
            "failures_max": self.failures_max,
            "window": self.window,
            "others": self.others,
            "status": self.status,
            "reason": self.reason,
            "token": self.token,
        }
        if self.next_check_at is not None:
            data["next_check_at"] = to_text(self.next_check_at)
        if self.expire_at is not None:
            data["expire_at"] = to_text(self.expire_at)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def slices_of(start: date, end: date, step: Step) -> Iterator[Slice]:
    """Yield the slices of a range, oldest first; the first and the last may be shorter than a week or a month."""
    first = start
    while first <= end:
        last = min(end, _last_day(first, step))
        yield Slice(first, last)
        first = last + timedelta(days=1)


def _last_day(day: date, step: Step) -> date:
    if step is Step.DAY:
        return day
    if step is Step.WEEK:
        return day + timedelta(days=6 - day.weekday())
    following = day.replace(day=28) + timedelta(days=4)
    return following - timedelta(days=following.day)
