"""Queued runs and the queues of orgs (design: docs/scheduling.md, queue and admission)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.schedule import Priority
from convergence.domain.times import to_text

NO_POOL: Final = "-"  # runs that share no cap with others


@dataclass(frozen=True, kw_only=True)
class QueuePlace(StoredRecord):
    """The place of a queued run in its queue.

    Runs of a pool wait for the same caps, so those after its first one lose nothing by waiting. `rank` orders a pool; a
    held run waits for something else first (`held_after`: the end of another run, or of a pause) and has none.
    """

    org: str
    pool: str = NO_POOL
    priority: Priority = Priority.SCHEDULED
    rank: str = ""
    held_after: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return JSON. A field that is not set is left out, so that no index holds it."""
        data = {**self.unknown, "org": self.org, "pool": self.pool, "priority": self.priority}
        return data | {name: text for name in ("rank", "held_after") if (text := getattr(self, name))}


def pause_of(org: str, pipeline: str) -> str:
    """Return the name of a pipeline's pause, for `held_after`; no run's id has a colon."""
    return f"paused:{org}:{pipeline}"


def rank_of(priority: Priority, fire_time: datetime, run_id: str) -> str:
    """Return a run's rank in its pool: by class, then by the time it was meant for."""
    return f"{priority.rank}.{to_text(fire_time)}.{run_id}"


@dataclass(frozen=True, kw_only=True)
class OrgQueue(StoredRecord):
    """The content of `org_queues/{org}`.

    `virtual_start` is the org's start tag of start-time fair queueing: the org with the smallest one is next. `ready`
    and `next_check_at` are absent unless there is something to do; `minutes` are the mean run times by pipeline, which
    admissions are charged by.
    """

    org: str
    virtual_start: float = 0.0
    waiting_pools: Mapping[str, bool] = field(default_factory=dict)
    ready: bool = False
    next_check_at: datetime | None = None
    blocked_on: tuple[str, ...] = ()  # names of caps
    reason: str = ""
    admitted: int = 0
    minutes: Mapping[str, float] = field(default_factory=dict)
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return queue_path(self.org)

    def to_data(self) -> dict[str, Any]:
        """Return JSON. What is not set is left out, so that no index holds it."""
        data: dict[str, Any] = {
            **self.unknown,
            "org": self.org,
            "virtual_start": self.virtual_start,
            "waiting_pools": self.waiting_pools,
            "reason": self.reason,
            "admitted": self.admitted,
            "minutes": self.minutes,
            "token": self.token,
        }
        if self.ready:
            data["ready"] = True
        if self.next_check_at is not None:
            data["next_check_at"] = to_text(self.next_check_at)
        if self.blocked_on:
            data["blocked_on"] = self.blocked_on
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def queue_path(org: str) -> str:
    """Return the path of an org's queue."""
    return f"org_queues/{org}"
