"""The shapes in which people and other programs see runs: JSON, keys in the words of the API.

Times are text as `domain.times` writes it (UTC), durations are milliseconds.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there


class StepView(TypedDict):
    """One step. `attempts` counts those that began, in the run's epoch; `trigger` is set for an end step.

    `crashes` counts deaths of its process within the latest attempt, which cost no attempt: of these, how many in a
    process that had proven itself and how many while the step ran alone. `next_attempt_at` is set while it rests.

    `balance`: what became of the rows that it read, of a step that loads these: read is the sum of loaded, quarantined,
    filtered and duplicate.
    """

    step_id: str
    ps_type: str
    status: str
    trigger: str | None
    attempts: int
    attempts_max: int
    crashes: int
    crashes_when_proven: int
    crashes_when_isolated: int
    next_attempt_at: str | None
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None
    rows_processed: int
    rows_written: int
    balance: dict[str, int] | None
    error_message: str | None
    error_code: str | None


class Change(TypedDict):
    """A parameter that a replay changed, in the epoch that the replay began; null where it was not given."""

    epoch: int
    name: str
    before: Any
    after: Any


class RunSummary(TypedDict):
    """One line of a history. `parameters` without those of type secret; `created_by`: the key's id, or the trigger.

    `outcome` is the status as it is shown: `completed_with_warnings` for a completed run whose steps warned, known when
    its end steps are done and its rows counted; otherwise the status.
    `start_date` and `end_date` are the days that the run covers, null before it is admitted; `changes`: what replays
    changed. `records_processed` are rows read.
    """

    run_id: str
    org: str
    pipeline: str
    status: str
    outcome: str
    trigger: str
    created_by: str
    credential_id: str
    start_date: str | None
    end_date: str | None
    parameters: dict[str, Any]
    changes: list[Change]
    epoch: int
    records_processed: int
    rows_written: int
    error_message: str | None
    error_code: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    duration_ms: int | None


class RunView(RunSummary):
    """A run with its steps.

    `parent_run`: the run after which it was started; `children`: those that were started after it.
    `progress`: the share of steps that are done, 0 to 100; `waits_for`: why it waits; `focus`: the verdicts of the
    steps that checked FOCUS charges.
    """

    provider: str
    domain: str
    progress: int
    waits_for: str | None
    parent_run: str | None
    children: list[str]
    warnings: list[str]
    focus: list[dict[str, Any]]
    steps: list[StepView]


class History(TypedDict):
    """A page of runs, latest first; `cursor` is None on the last."""

    runs: list[RunSummary]
    cursor: str | None


class Move(TypedDict):
    """One entry of a timeline; `step_id` is None for the run itself."""

    at: str
    step_id: str | None
    status: str
    why: str
