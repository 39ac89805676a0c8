"""Replays of many dead letters as people and programs see them."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.dead_letter_replay import DeadLetterReplay
from convergence.domain.times import to_text
from convergence.domain.wording import counted
from convergence.engine.dead_letters.plan_replays import ReplaysPlan
from convergence.engine.views.dead_letters import CauseView, causes_view


class ReplaysPlanView(TypedDict):
    """What would be replayed. `steps` would be redone, `slices` (days) and about `rows` written or replaced; null:
    not known. These three are scaled up from the first 100 runs. `complete` is False when there are more.
    """

    runs: int
    orgs: int
    steps: int
    slices: int
    rows: int | None
    causes: list[CauseView]
    complete: bool
    text: str


class ReplayView(TypedDict):
    """A replay of many dead letters and how far it is. `first_passed`: the one that goes ahead has completed.

    `waiting`: taken up and not ended yet; `failed` again; `refused`: could not be replayed; `waits_for`: the limits of
    orgs without room, null when there are none.
    """

    replay_id: str
    org: str | None
    pipeline: str | None
    step_id: str | None
    code: str | None
    status: str
    reason: str
    waits_for: str | None
    total: int
    completed: int
    failed: int
    refused: int
    waiting: list[str]
    first_passed: bool
    per_minute: int
    failures_max: int
    created_by: str
    created_at: str
    updated_at: str


def plan_view(found: ReplaysPlan) -> ReplaysPlanView:
    """Return what would be replayed, with a sentence for people."""
    of = of_orgs(found.orgs)
    redone = f"{counted(found.runs, 'run')}{of}, {counted(found.steps, 'step')}, {counted(found.slices, 'slice')}"
    rows = "" if found.rows is None else f", about {found.rows:,} rows"
    more = "" if found.complete else ", and more"
    return {
        "runs": found.runs,
        "orgs": found.orgs,
        "steps": found.steps,
        "slices": found.slices,
        "rows": found.rows,
        "causes": causes_view(found.causes),
        "complete": found.complete,
        "text": f"{redone}{rows}{more}",
    }


def replay_view(replay: DeadLetterReplay) -> ReplayView:
    """Return it as its readers see it."""
    return {
        "replay_id": replay.replay_id,
        "org": replay.org or None,
        "pipeline": replay.pipeline,
        "step_id": replay.step_id,
        "code": replay.code,
        "status": replay.status.value,
        "reason": replay.reason,
        "waits_for": replay.waits_for or None,
        "total": replay.total,
        "completed": replay.completed,
        "failed": replay.failed,
        "refused": replay.refused,
        "waiting": [each.run_id for each in replay.window.values()],
        "first_passed": replay.first_passed,
        "per_minute": replay.per_minute,
        "failures_max": replay.failures_max,
        "created_by": replay.created_by,
        "created_at": to_text(replay.created_at),
        "updated_at": to_text(replay.updated_at),
    }


def of_orgs(count: int) -> str:
    """Say of how many orgs something is, unless it is of one."""
    return f" of {count:,} orgs" if count > 1 else ""
