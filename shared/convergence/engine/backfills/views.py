"""Backfills as people and programs see them."""

from __future__ import annotations

from typing import Final

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.backfill import Backfill, SliceState
from convergence.domain.query_cost import query_cost
from convergence.domain.times import to_text
from convergence.engine.backfills.create import BackfillPlan


class SliceView(TypedDict):
    """A slice of a plan. `rows` and `bytes_processed`: of its last run.

    `action`: run; keep, it is complete; wait, for a run under way, whose end decides; skip, nothing has run for it and
    the mode leaves that alone.
    """

    start: str
    end: str
    state: str
    action: str
    rows: int | None
    bytes_processed: int | None


class PlanOfBackfill(TypedDict):
    """What a backfill would do. `cost_usd`: of `bytes_processed`, which BigQuery bills; None: not known."""

    pipeline: str
    slices: list[SliceView]
    runs: int
    replaced: int
    rows: int | None
    bytes_processed: int | None
    cost_usd: str | None


class BackfillView(TypedDict):
    """A backfill and how far it is; `counts` by state of slice, `window` the runs that it waits for."""

    backfill_id: str
    org: str
    pipeline: str
    start: str
    end: str
    step: str
    mode: str
    order: str
    concurrency: int
    failures_max: int
    status: str
    reason: str
    counts: dict[str, int]
    slices: int
    progress: int
    window: list[str]
    created_at: str
    updated_at: str


def plan_of_backfill(plan: BackfillPlan) -> PlanOfBackfill:
    """Return what would be run and replaced; rows and bytes are estimates from the slices' last runs, if there are."""
    slices: list[SliceView] = []
    for found, state in zip(plan.found, plan.backfill.states, strict=True):
        slices.append(
            {
                "start": found.slice.start.isoformat(),
                "end": found.slice.end.isoformat(),
                "state": found.state,
                "action": _ACTIONS[SliceState(state)],
                "rows": found.rows,
                "bytes_processed": found.bytes_processed,
            }
        )
    runs = [each for each in slices if each["action"] == "run"]
    size = _scaled([each["bytes_processed"] for each in slices], len(runs))
    return {
        "pipeline": plan.backfill.pipeline,
        "slices": slices,
        "runs": len(runs),
        "replaced": sum(each["state"] == "complete" for each in runs),
        "rows": _scaled([each["rows"] for each in slices], len(runs)),
        "bytes_processed": size,
        "cost_usd": None if size is None else query_cost(size, plan.usd_per_tib),
    }


_ACTIONS: Final = {
    SliceState.OPEN: "run",
    SliceState.COMPLETE: "keep",
    SliceState.RUNNING: "wait",
    SliceState.SKIPPED: "skip",
}


def _scaled(of_slices: list[int | None], runs: int) -> int | None:
    known = [each for each in of_slices if each is not None]
    return round(sum(known) / len(known) * runs) if known else None


def backfill_view(backfill: Backfill) -> BackfillView:
    """Return a backfill as its readers see it."""
    counts = backfill.counts()
    total = len(backfill.states)
    return {
        "backfill_id": backfill.backfill_id,
        "org": backfill.org,
        "pipeline": backfill.pipeline,
        "start": backfill.start,
        "end": backfill.end,
        "step": backfill.step.value,
        "mode": backfill.mode.value,
        "order": "newest" if backfill.newest_first else "oldest",
        "concurrency": backfill.concurrency,
        "failures_max": backfill.failures_max,
        "status": backfill.status.value,
        "reason": backfill.reason,
        "counts": counts,
        "slices": total,
        "progress": 100 * (total - counts["open"] - counts["running"]) // max(1, total),
        "window": [*backfill.window, *backfill.others],
        "created_at": to_text(backfill.created_at),
        "updated_at": to_text(backfill.updated_at),
    }
