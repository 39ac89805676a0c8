"""The replay of many dead letters: one first, then the rest at a bounded rate (design: docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text

WINDOW_MAX: Final = 200  # replays under way; a minute's worth of them where runs take a minute
PER_MINUTE_MAX: Final = 600
FAILURES_MAX: Final = 1_000  # after which one stops; a resumed one counts anew
FULL_MAX: Final = 1_000  # orgs without room that one document remembers
_NAMED_MAX: Final = 5
REFUSED_MAX: Final = 2_000  # names that one document remembers; above, it cannot be resumed
_PLAIN: Final = (
    *("replay_id", "org", "pipeline", "step_id", "code", "parameters", "latest", "operator", "created_by"),
    *("per_minute", "failures_max", "total", "status", "reason", "full", "first_passed"),
    *("cursor", "exhausted", "passed_over"),
    *("completed", "failed", "refused", "tokens", "token"),
)


class ReplayStatus(StrEnum):
    """`stopped`: its first replay failed, or as many as may have failed; it can go on."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Pending(StoredRecord):
    """A dead letter whose replay is meant to start or has started: in that case its run is in a later epoch."""

    run_id: str
    org: str
    epoch: int

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {**self.unknown, "run_id": self.run_id, "org": self.org, "epoch": self.epoch}


@dataclass(frozen=True, kw_only=True)
class DeadLetterReplay(StoredRecord):
    """The content of `dead_letter_replays/{replay_id}`. `window`: dead letter → what is under way.

    A dead letter is in the window before its run is replayed, so that a crash in between repeats nothing and loses
    nothing. `before` is the moment of the request at the latest: what fails again is not replayed again.
    """

    replay_id: str
    org: str  # empty: of all orgs
    before: datetime
    created_at: datetime
    updated_at: datetime
    after: datetime | None = None
    pipeline: str | None = None
    step_id: str | None = None
    code: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    latest: bool = False
    operator: bool = False  # may replay what only the operator may run
    created_by: str = ""
    per_minute: int = 30
    failures_max: int = 10
    total: int = 0  # runs, as counted at the request
    status: ReplayStatus = ReplayStatus.RUNNING
    reason: str = ""
    full: Mapping[str, str] = field(default_factory=dict)  # orgs without room since `cursor` was at the beginning: why
    first_passed: bool = False
    window: Mapping[str, Pending] = field(default_factory=dict)
    cursor: str | None = None
    exhausted: bool = False
    passed_over: bool = False  # since the cursor was at the beginning, because their orgs had no room
    completed: int = 0
    failed: int = 0
    refused: int = 0
    refused_ids: tuple[str, ...] = ()  # at most REFUSED_MAX, FAILURES_MAX and a window
    tokens: float = 1.0  # replays that may start as of `tokens_at`
    tokens_at: datetime | None = None
    next_check_at: datetime | None = None
    expire_at: datetime | None = None  # it may be removed then
    token: str = ""

    @property
    def path(self) -> str:
        """Where the document is."""
        return f"dead_letter_replays/{self.replay_id}"

    @property
    def waits_for(self) -> str:
        """What orgs without room wait for, as one text; empty when it is over or all have room."""
        if self.status is not ReplayStatus.RUNNING:
            return ""
        named = [f"{org}: {reason}" for org, reason in sorted(self.full.items())[:_NAMED_MAX]]
        more = len(self.full) - len(named)
        return " ".join([*named, f"{more:,} more orgs have no room either."] if more else named)

    @property
    def over(self) -> bool:
        """True when it starts no more replays unless it is resumed."""
        return self.status not in (ReplayStatus.RUNNING, ReplayStatus.PAUSED)

    def to_data(self) -> dict[str, Any]:
        """Return JSON. Times that are not set are left out, so that no index holds them."""
        data = {**self.unknown, **{name: getattr(self, name) for name in _PLAIN}}
        data["refused_ids"] = list(self.refused_ids)
        data["window"] = {letter_id: pending.to_data() for letter_id, pending in self.window.items()}
        for name in ("before", "after", "created_at", "updated_at", "tokens_at", "next_check_at", "expire_at"):
            at = getattr(self, name)
            if at is not None:
                data[name] = to_text(at)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)
