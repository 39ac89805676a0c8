"""The two state machines (design: docs/engine.md §4). Only this file defines which status may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """The status of a run."""

    QUEUED = "queued"
    PENDING = "pending"
    VALIDATING = "validating"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # an instant of a schedule that was not run; the reason is in its one transition


COMPLETED_WITH_WARNINGS: Final = "completed_with_warnings"  # how a completed run is shown whose steps warned


class StepStatus(StrEnum):
    """The status of a step. A pending step has no document; `PENDING`, `PROCESSING` and `CANCELLED` are only shown."""

    PENDING = "pending"
    RUNNING = "running"
    PROCESSING = "processing"  # running, and its rows are being loaded
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


R, S = RunStatus, StepStatus

RUN_NEXT: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    R.QUEUED: frozenset({R.PENDING, R.VALIDATING, R.FAILED, R.CANCELLED}),
    R.PENDING: frozenset({R.VALIDATING, R.RUNNING, R.COMPLETED, R.FAILED, R.CANCELLED}),
    R.VALIDATING: frozenset({R.RUNNING, R.COMPLETED, R.FAILED, R.CANCELLED}),
    R.RUNNING: frozenset({R.COMPLETED, R.FAILED, R.CANCELLED}),
    R.COMPLETED: frozenset(),
    R.FAILED: frozenset(),
    R.CANCELLED: frozenset(),
    R.SKIPPED: frozenset(),
}
# Replay is the only way out of a terminal status.
RUN_REPLAY: Final = frozenset({R.FAILED, R.CANCELLED})

STEP_NEXT: Final[Mapping[StepStatus, frozenset[StepStatus]]] = {
    # FAILED, or COMPLETED where failures are tolerated: its plan cannot be carried out.
    S.PENDING: frozenset({S.RUNNING, S.SKIPPED, S.FAILED, S.COMPLETED}),
    S.RUNNING: frozenset({S.RETRYING, S.COMPLETED, S.FAILED, S.SKIPPED}),
    S.PROCESSING: frozenset(),
    S.RETRYING: frozenset({S.RUNNING, S.FAILED, S.SKIPPED, S.COMPLETED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.SKIPPED: frozenset(),
    S.CANCELLED: frozenset(),
}
STEP_REPLAY: Final = frozenset({S.FAILED, S.RUNNING, S.RETRYING, S.PENDING})

RUN_TERMINAL: Final = frozenset(status for status, after in RUN_NEXT.items() if not after)
STEP_DONE: Final = frozenset({S.COMPLETED, S.SKIPPED})
STEP_TERMINAL: Final = frozenset(status for status, after in STEP_NEXT.items() if not after) - {
    S.CANCELLED,
    S.PROCESSING,
}
