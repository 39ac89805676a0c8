"""A run: one execution of a pipeline for one org."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

from convergence.domain.queue import QueuePlace
from convergence.domain.records import StoredRecord, changed, from_stored
from convergence.domain.status import COMPLETED_WITH_WARNINGS, RUN_NEXT, RUN_REPLAY, RUN_TERMINAL, RunStatus
from convergence.domain.times import from_text, to_text
from convergence.domain.transitions import RawTransition, appended

NO_PLAN: Final = -1  # `plan_epoch` of a run that was never admitted, so that no plan was resolved for it
_FORMER_MAX: Final = 20  # edits that a run remembers
_ORIGIN: Final = (
    *("domain", "timezone", "schedule_id", "backfill_id", "parent_run", "children", "chain_depth", "caps", "removing"),
)  # written only if they have a value


@dataclass(frozen=True, kw_only=True)
class Run(StoredRecord):
    """What `runs/{run_id}` holds. `check_at` is None only when nothing is left to do."""

    run_id: str
    org: str
    pipeline: str
    pipeline_id: str
    provider: str
    digest: str  # of the pipeline file
    request_digest: str  # of the request: the same idempotency key must mean the same request
    trigger: str  # manual, schedule, api, replay …
    created_at: datetime
    deadline_at: datetime
    check_at: datetime | None
    deadline_set_at: datetime | None = None  # when it was last reset: by a replay, or after a time without a worker
    status: RunStatus = RunStatus.PENDING
    epoch: int = 0
    plan_epoch: int = 0  # the plan document in force; a replay without changes keeps the older one
    credential_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict)  # secret parameters, encrypted
    run_once: bool = False
    token: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    with_warnings: bool = False  # it completed and a step warned; counted with the rows, when all steps have ended
    totals: Mapping[str, int] = field(default_factory=dict)
    transitions: Sequence[RawTransition] = ()
    moves: int = 0
    domain: str = ""  # of its pipeline; empty in runs of earlier releases
    created_by: str = ""  # the key's id, or how it was started on this machine; empty in runs of earlier releases
    former: Sequence[Mapping[str, Any]] = ()  # {"until": epoch, "parameters": …} that a replay edited, oldest first
    fire_time: datetime | None = None  # the instant that dates are computed from; None: `created_at`
    timezone: str = ""  # in which that instant has its date; empty: the pipeline's schedule's
    schedule_id: str = ""
    backfill_id: str = ""
    parent_run: str = ""  # the run after which it was started
    children: tuple[str, ...] = ()  # runs that were started after it
    chain_depth: int = 0  # how many runs are before it in its chain
    caps: tuple[str, ...] = ()  # paths of the caps in which it holds a place
    queue: QueuePlace | None = None  # while it is queued
    expire_at: datetime | None = None  # it may be removed then; set when nothing is left to do, unset by a replay
    removing: bool = False  # its steps and plans are being removed: it can never run again

    @cached_property
    def path(self) -> str:
        """Where the document is."""
        return f"runs/{self.run_id}"

    @property
    def terminal(self) -> bool:
        """True when only a replay can change the status."""
        return self.status in RUN_TERMINAL

    @property
    def outcome(self) -> str:
        """The status as it is shown: of a completed run with or without warnings."""
        return COMPLETED_WITH_WARNINGS if self.with_warnings else self.status.value

    @property
    def dated(self) -> datetime:
        """The instant that the run's dates are computed from."""
        return self.created_at if self.fire_time is None else self.fire_time

    def lasted(self, now: datetime) -> timedelta:
        """Return how long it has been at work: until its end, or `now`, without the times between an end and a replay.

        A gap whose moves were dropped from the history counts.
        """
        idle = timedelta()
        for (ended, status, _), (again, _, _) in pairwise(self.transitions):
            if status in RUN_TERMINAL:
                idle += from_text(again) - from_text(ended)
        return max(timedelta(), (self.finished_at or now) - self.created_at - idle)

    def parameters_in(self, epoch: int) -> Mapping[str, Any]:
        """Return the parameters that an epoch had."""
        return next((each["parameters"] for each in self.former if each["until"] >= epoch), self.parameters)

    def edited(self, parameters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return `former` for a replay with these parameters."""
        if parameters == self.parameters:
            return self.former
        return (*self.former, {"until": self.epoch, "parameters": self.parameters})[-_FORMER_MAX:]

    def advance(self, to: RunStatus, *, at: datetime, reason: str, token: str) -> Self:
        """Return the run moved to `to`, with the move recorded."""
        allowed = RUN_NEXT[self.status] | ({RunStatus.RUNNING} if self.status in RUN_REPLAY else set())
        assert to in allowed, f"run {self.run_id}: {self.status} cannot become {to}"
        return changed(
            self,
            status=to,
            token=token,
            started_at=at if to is RunStatus.RUNNING and self.started_at is None else self.started_at,
            finished_at=at if to in RUN_TERMINAL else None,
            with_warnings=False,
            transitions=appended(self.transitions, at, to, reason),
            moves=self.moves + 1,
        )

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        data: dict[str, Any] = {
            **self.unknown,
            "run_id": self.run_id,
            "org": self.org,
            "pipeline": self.pipeline,
            "pipeline_id": self.pipeline_id,
            "provider": self.provider,
            "digest": self.digest,
            "request_digest": self.request_digest,
            "trigger": self.trigger,
            "created_by": self.created_by,
            "created_at": to_text(self.created_at),
            "deadline_at": to_text(self.deadline_at),
            "deadline_set_at": None if self.deadline_set_at is None else to_text(self.deadline_set_at),
            "check_at": None if self.check_at is None else to_text(self.check_at),
            "status": self.status,
            "epoch": self.epoch,
            "plan_epoch": self.plan_epoch,
            "credential_id": self.credential_id,
            "parameters": self.parameters,
            "sealed": self.sealed,
            "run_once": self.run_once,
            "token": self.token,
            "started_at": None if self.started_at is None else to_text(self.started_at),
            "finished_at": None if self.finished_at is None else to_text(self.finished_at),
            "error": self.error,
            "warnings": self.warnings,
            "with_warnings": self.with_warnings,
            "totals": self.totals,
            "transitions": self.transitions,
            "moves": self.moves,
            "former": self.former,
        }
        data |= {name: value for name in _ORIGIN if (value := getattr(self, name))}
        if self.fire_time is not None:
            data["fire_time"] = to_text(self.fire_time)
        if self.expire_at is not None:
            data["expire_at"] = to_text(self.expire_at)
        if self.queue is not None:
            data["queue"] = self.queue.to_data()
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`); before 0.2 no run said that it has warnings."""
        if "with_warnings" not in data:
            warned = data["status"] == RunStatus.COMPLETED and bool(data.get("warnings"))
            data = {**data, "with_warnings": warned}
        return from_stored(cls, data)
