"""A schedule: what to run, when, and what to do with instants that were missed (design: docs/scheduling.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text

DEFAULT_NAME: Final = "default"  # of the schedule that a pipeline's file describes


class Missed(StrEnum):
    """Which of several undecided instants are run: each, the last, or none that is late."""

    ALL = "all"
    LAST = "last"
    NONE = "none"


class Overlap(StrEnum):
    """What happens to a firing while an earlier run of the schedule is still active."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_RUNNING = "cancel_running"


class ScheduleState(StrEnum):
    """`stopped` is the system's doing (the org may not run, a credential or the file is gone), `paused` a person's."""

    ENABLED = "enabled"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETED = "deleted"


class Priority(StrEnum):
    """The class of a queued run within its org, most urgent first."""

    INTERACTIVE = "interactive"
    SCHEDULED = "scheduled"
    BACKFILL = "backfill"

    @property
    def rank(self) -> int:
        """Its place: 0 comes first."""
        return list(Priority).index(self)


@dataclass(frozen=True, kw_only=True)
class Blackout(StoredRecord):
    """A time in which the schedule does not fire: from `start` until before `end`."""

    start: datetime
    end: datetime
    reason: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {**self.unknown, "start": to_text(self.start), "end": to_text(self.end), "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class Timing(StoredRecord):
    """When a schedule fires, and its policies. Jitter and deadline in seconds."""

    cron: str
    timezone: str = "UTC"
    jitter_s: int = 0  # the greatest delay; a schedule's own is the same at every firing
    starting_deadline_s: int = 86_400
    missed: Missed = Missed.LAST
    overlap: Overlap = Overlap.SKIP
    queue_max: int = 1  # firings that wait for the one before, with overlap `queue`
    start: datetime | None = None
    end: datetime | None = None
    blackouts: tuple[Blackout, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "cron": self.cron,
            "timezone": self.timezone,
            "jitter_s": self.jitter_s,
            "starting_deadline_s": self.starting_deadline_s,
            "missed": self.missed,
            "overlap": self.overlap,
            "queue_max": self.queue_max,
            "start": None if self.start is None else to_text(self.start),
            "end": None if self.end is None else to_text(self.end),
            "blackouts": [blackout.to_data() for blackout in self.blackouts],
        }


@dataclass(frozen=True, kw_only=True)
class LastSkip(StoredRecord):
    """The instants that were skipped last."""

    first: datetime
    last: datetime
    count: int
    reason: str

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        known = {"first": to_text(self.first), "last": to_text(self.last), "count": self.count, "reason": self.reason}
        return {**self.unknown, **known}


@dataclass(frozen=True, kw_only=True)
class Schedule(StoredRecord):
    """The content of `schedules/{schedule_id}`.

    `slot` is the next undecided instant and `due_at` the same with jitter; both are None when no firing is ahead.
    `decided_through` never moves back: it is what keeps a restored or edited schedule from firing twice. It is later
    than `slot` only where an edit of the times kept a slot that was already due: then all but this one is decided.
    """

    schedule_id: str
    org: str
    pipeline: str
    provider: str
    name: str  # `DEFAULT_NAME` for the pipeline's own schedule
    timing: Timing
    created_at: datetime
    updated_at: datetime
    credential_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    from_pipeline: bool = False  # its times are the pipeline file's, but for what `overridden` names
    overridden: tuple[str, ...] = ()
    enabled: bool = True  # what the file or the org wants; `state` is what holds
    state: ScheduleState = ScheduleState.ENABLED
    reason: str = ""  # of a state other than enabled
    paused_until: datetime | None = None
    slot: datetime | None = None
    due_at: datetime | None = None
    decided_through: datetime | None = None
    active_runs: tuple[str, ...] = ()  # those that are not known to have ended
    last_run: str = ""
    last_fired_at: datetime | None = None
    last_skip: LastSkip | None = None
    revision: int = 0
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return f"schedules/{self.schedule_id}"

    def to_data(self) -> dict[str, Any]:
        """Return JSON. Times that are not set are left out, so that no index holds them."""
        data: dict[str, Any] = {
            **self.unknown,
            "schedule_id": self.schedule_id,
            "org": self.org,
            "pipeline": self.pipeline,
            "provider": self.provider,
            "name": self.name,
            "timing": self.timing.to_data(),
            "created_at": to_text(self.created_at),
            "updated_at": to_text(self.updated_at),
            "credential_id": self.credential_id,
            "parameters": self.parameters,
            "from_pipeline": self.from_pipeline,
            "overridden": self.overridden,
            "enabled": self.enabled,
            "state": self.state,
            "reason": self.reason,
            "active_runs": self.active_runs,
            "last_run": self.last_run,
            "last_skip": None if self.last_skip is None else self.last_skip.to_data(),
            "revision": self.revision,
            "token": self.token,
        }
        for name in ("paused_until", "slot", "due_at", "decided_through", "last_fired_at"):
            at = getattr(self, name)
            if at is not None:
                data[name] = to_text(at)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def schedule_id_of(org: str, pipeline: str, credential_id: str, name: str) -> str:
    """Return the id of a schedule: the same for the same things, so that a repeated set-up makes no second one."""
    key = "\n".join((org, pipeline, credential_id, name))
    return f"sch_{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}"


def scheduled_run_id(schedule_id: str, slot: datetime) -> str:
    """Return the id of the run, or of the recorded skip, for an instant of a schedule."""
    key = f"{schedule_id}\n{to_text(slot)}"
    return f"run_{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}"


def jitter_of(org: str, pipeline: str, jitter_s: int) -> int:
    """Return the delay of an org's firings of a pipeline: always the same, spread evenly over 0 … `jitter_s` - 1."""
    if jitter_s <= 0:
        return 0
    digest = hashlib.blake2b(f"{org}\n{pipeline}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % jitter_s
