"""A run as lists show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line of a list of runs; times as stored, durations in milliseconds. `status` is the shown one."""

    run_id: str
    pipeline: str
    provider: str
    status: str
    trigger: str
    created_by: str
    created_at: str
    duration_ms: int
    rows: int
    epoch: int
    reason: str  # an error's message, what it waits for, or why it was skipped; empty for success
    code: str
    replayable: bool
    active: bool


def run_row(run: Run, now: datetime) -> RunRow:
    """Return the line of a run."""
    error = run.error or {}
    return RunRow(
        run_id=run.run_id,
        pipeline=run.pipeline,
        provider=run.provider,
        status=run.outcome,
        trigger=run.trigger,
        created_by=run.created_by or run.trigger,
        created_at=to_text(run.created_at),
        duration_ms=run.lasted(now) // timedelta(milliseconds=1),
        rows=int(run.totals.get("rows_processed", 0)),
        epoch=run.epoch,
        reason=_reason(run),
        code=str(error.get("code", "")),
        replayable=run.status in (RunStatus.FAILED, RunStatus.CANCELLED),
        active=not run.terminal,
    )


def _reason(run: Run) -> str:
    if run.error is not None:
        return str(run.error.get("message", ""))
    if run.status is RunStatus.COMPLETED:
        return "; ".join(run.warnings)
    if run.status in (RunStatus.SKIPPED, RunStatus.CANCELLED, RunStatus.QUEUED) and run.transitions:
        return str(run.transitions[-1][2])
    return ""
