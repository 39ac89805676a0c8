"""The state of a step, from its first claim on. A step that was never claimed has no document and costs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from convergence.domain.records import StoredRecord, changed, from_stored
from convergence.domain.status import STEP_DONE, STEP_NEXT, STEP_REPLAY, StepStatus
from convergence.domain.times import to_text
from convergence.domain.transitions import RawTransition, appended


class Applied(StrEnum):
    """What a replay does with writes that took effect with a different input: keep them, or write again."""

    KEEP = "keep"
    AGAIN = "again"


WARNINGS_MAX: Final = 20  # of one step that a run shows; the step's result holds all


@dataclass(frozen=True, kw_only=True)
class Step(StoredRecord):
    """The content of `runs/{run_id}/steps/{record_id}`.

    `crashes` counts owners found dead since the last commit by one (`domain.crashes`), `lease_proven` and
    `lease_isolated` say how the lease began; `failures` counts retryable failures; `elapsed_s` adds up over the slices
    of a step that answers CONTINUE, and `stages` names the executions (by their number of moves) whose staged rows are
    kept for the load at the end. `loading`: rows were being made visible when the lease was last renewed.

    `input` is the digest of what the last claim was given, `epochs` those in which the step was claimed, `writes` how
    often each name was written in this epoch up to the checkpoint, `applied` the replay's choice for writes of
    earlier epochs. Epochs before `older_epochs` are those of a release that did not keep this and named writes
    differently.
    """

    step_id: str
    status: StepStatus = StepStatus.PENDING
    epoch: int = 0
    token: str = ""
    lease_owner: str = ""
    lease_until: datetime | None = None
    lease_proven: bool = False
    lease_isolated: bool = False
    loading: bool = False
    crashes: int = 0
    crashes_when_proven: int = 0
    crashes_when_isolated: int = 0
    failures: int = 0
    not_before: datetime | None = None
    elapsed_s: float = 0.0
    checkpoint: Any = None
    stages: tuple[int, ...] = ()
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    transitions: Sequence[RawTransition] = ()
    moves: int = 0
    input: str = ""
    epochs: tuple[int, ...] = ()
    writes: Mapping[str, int] = field(default_factory=dict)
    applied: Applied | None = None
    older_epochs: int = 0

    @property
    def done(self) -> bool:
        """True when the step's dependents may start."""
        return self.status in STEP_DONE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a finished step reports to the run's readers: the failure that was tolerated, and its result's
        `warnings`."""
        if not self.done:
            return ()
        message = [str(self.error["message"])] if self.error else []
        given = (self.result or {}).get("warnings")
        if isinstance(given, list | tuple):
            message += [text for text in given if isinstance(text, str)][:WARNINGS_MAX]
        return tuple(f"{self.step_id}: {text}" for text in message)

    def leased(self, now: datetime) -> bool:
        """True while an owner may be at work."""
        return self.lease_until is not None and self.lease_until > now

    def advance(self, to: StepStatus, *, at: datetime, reason: str, token: str, **changes: Any) -> Self:
        """Return the step moved to `to`, with the move recorded and `changes` applied."""
        assert to in STEP_NEXT[self.status], f"step {self.step_id}: {self.status} cannot become {to}"
        return self._moved(to, at=at, reason=reason, token=token, **changes)

    def claimed_in(self, epoch: int) -> tuple[int, ...]:
        """Return `epochs` with this one."""
        return self.epochs if epoch in self.epochs else (*self.epochs, epoch)

    def replayed(self, *, epoch: int, at: datetime, token: str, applied: Applied | None = None) -> Self:
        """Return the step reset for a new epoch. Its lease stays: an owner may still be at work."""
        assert self.status in STEP_REPLAY, f"step {self.step_id}: {self.status} cannot be replayed"
        return self._moved(
            StepStatus.RETRYING,
            at=at,
            reason=f"replay {epoch}",
            token=token,
            epoch=epoch,
            crashes=0,
            crashes_when_proven=0,
            crashes_when_isolated=0,
            failures=0,
            elapsed_s=0.0,
            checkpoint=None,
            stages=(),
            writes={},
            applied=applied,
            error=None,
            result=None,
            not_before=None,
            started_at=None,
            finished_at=None,
        )

    def _moved(self, to: StepStatus, *, at: datetime, reason: str, token: str, **changes: Any) -> Self:
        return changed(
            self,
            status=to,
            token=token,
            transitions=appended(self.transitions, at, to, reason),
            moves=self.moves + 1,
            **changes,
        )

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "step_id": self.step_id,
            "status": self.status,
            "epoch": self.epoch,
            "token": self.token,
            "lease_owner": self.lease_owner,
            "lease_until": None if self.lease_until is None else to_text(self.lease_until),
            "lease_proven": self.lease_proven,
            "lease_isolated": self.lease_isolated,
            "loading": self.loading,
            "crashes": self.crashes,
            "crashes_when_proven": self.crashes_when_proven,
            "crashes_when_isolated": self.crashes_when_isolated,
            "failures": self.failures,
            "not_before": None if self.not_before is None else to_text(self.not_before),
            "elapsed_s": self.elapsed_s,
            "checkpoint": self.checkpoint,
            "stages": self.stages,
            "result": self.result,
            "error": self.error,
            "started_at": None if self.started_at is None else to_text(self.started_at),
            "finished_at": None if self.finished_at is None else to_text(self.finished_at),
            "transitions": self.transitions,
            "moves": self.moves,
            "input": self.input,
            "epochs": self.epochs,
            "writes": self.writes,
            "applied": self.applied,
            "older_epochs": self.older_epochs,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`).

        Earlier ones counted started executions, as `claims`, and kept no `epochs`: the step counts as claimed in all.
        """
        claims = data.get("claims", 0)
        step = from_stored(cls, {name: data[name] for name in data if name != "claims"} if claims else data)
        if "epochs" not in data:
            step = changed(step, epochs=tuple(range(step.epoch + 1)), older_epochs=step.epoch + 1)
        return changed(step, crashes=claims - 1) if claims > 1 else step  # the last one started may still be running
