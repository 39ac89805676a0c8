"""The page of one run: the verdict first, then the failing step, then the evidence, then the raw data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.status import RUN_REPLAY, RunStatus, StepStatus
from convergence.domain.times import from_text, to_text
from convergence.engine.services import Services
from convergence.engine.store import StoredStep, read_all_steps, read_plan, record_id, require_run
from convergence.engine.views import runs as views
from convergence.engine.views.models import Move, RunView, StepView
from convergence.entry.ui.formats import counted
from convergence.entry.ui.svg.step_graph import Graph, step_graph
from convergence.entry.ui.svg.timeline import Segment, Timeline, segments, timeline
from convergence.entry.ui.views.replay import Effect, effects

STEPS_PER_PAGE: Final = 50
MOVES_PER_PAGE: Final = 200
VALUES_MAX: Final = 25  # steps with input and result on the page; of more, those of the failing and the chosen one
_FAILING_MOVES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step with what it was given and what it answered, if the page shows these."""

    view: StepView
    depends_on: Sequence[str]
    table: str
    waited_ms: float
    input: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Everything on the page. `status` is the shown one; `moves` are a page of them, oldest first."""

    run: RunView
    status: str
    verdict: str
    code: str
    failing: StepView | None
    replayable: bool
    active: bool
    live: bool  # more is to come: it is active, or its end steps are not done or its rows not counted
    ended: bool  # and it has written rows
    effect: Effect | None
    slices: tuple[int, int]  # written, of all that the plan writes
    timeline: Timeline
    graph: Graph | None
    steps: Sequence[StepRow]
    counts: Mapping[str, int]
    page: int
    pages: int
    moves: Sequence[Move]
    moves_page: int
    moves_pages: int
    moves_count: int
    credential_id: str
    dates: Mapping[str, str]
    schedule_id: str
    backfill_id: str
    pinned_at: str | None
    edits: Sequence[tuple[int, Mapping[str, Any]]]  # parameters of earlier epochs, by the last epoch that had them
    raw: Mapping[str, Any]


async def run_page(
    services: Services, org: str, run_id: str, *, page: int = 1, moves_page: int = 1, chosen: str = ""
) -> RunPage:
    """Return the page of a run. Raises `NotFound` for a run of another org too."""
    run = (await require_run(services, org, run_id)).run
    plan, stored = await read_plan(services, run), await read_all_steps(services, run)
    now = services.clock.now()
    view = views.status_of(run, plan, stored, now, queued=await views.queue_reason(services, run))
    moves = views.moves_of(run, stored)
    failing = next((step for step in view["steps"] if _is_failing(run, step)), None)
    pages = max(1, -(-len(view["steps"]) // STEPS_PER_PAGE))
    page = min(max(1, page), pages)
    listed = view["steps"][(page - 1) * STEPS_PER_PAGE : page * STEPS_PER_PAGE]
    open_step = chosen or ("" if failing is None else failing["step_id"])
    with_values = len(view["steps"]) <= VALUES_MAX
    moves_pages = max(1, -(-len(moves) // MOVES_PER_PAGE))
    moves_page = min(max(1, moves_page), moves_pages)  # 1 is the latest
    last = len(moves) - (moves_page - 1) * MOVES_PER_PAGE
    graph = {step.step_id: list(step.depends_on) for step in plan.graph}
    return RunPage(
        run=view,
        status=view["outcome"],
        verdict=_verdict(view, failing),
        code=str((run.error or {}).get("code", "")),
        failing=failing,
        replayable=run.status in RUN_REPLAY,
        active=not run.terminal,
        live=run.check_at is not None,
        ended=run.terminal and view["rows_written"] > 0,
        effect=effects(plan, stored) if run.status in RUN_REPLAY else None,
        slices=_slices(plan, stored, run),
        timeline=_timeline(run, plan, stored, listed, now),
        graph=step_graph(graph, {step["step_id"]: step["status"] for step in view["steps"]}),
        steps=[_step_row(run, plan, stored, each, now, open_step, show=with_values) for each in listed],
        counts=_counts(view),
        page=page,
        pages=pages,
        moves=moves[max(0, last - MOVES_PER_PAGE) : last],
        moves_page=moves_page,
        moves_pages=moves_pages,
        moves_count=len(moves),
        credential_id=run.credential_id,
        dates={name: str(plan.core[name]) for name in ("start_date", "end_date") if name in plan.core},
        schedule_id=run.schedule_id,
        backfill_id=run.backfill_id,
        pinned_at=None if run.started_at is None else to_text(run.started_at),
        edits=[(int(each["until"]), each["parameters"]) for each in run.former],
        raw={**view, "steps": f"{counted(len(view['steps']), 'step')}, in the download"},
    )


def _is_failing(run: Run, step: StepView) -> bool:
    named = (run.error or {}).get("step_id")
    return step["status"] == StepStatus.FAILED and named in (None, step["step_id"])


def _verdict(view: RunView, failing: StepView | None) -> str:
    """Return the sentence behind the status."""
    match view["status"]:
        case RunStatus.FAILED if failing is not None:
            tries = failing["attempts"]
            after = (
                f"{failing['step_id']} failed" if tries < 2 else f"{failing['step_id']} gave up after {tries} attempts"
            )
            return f"{after}: {failing['error_message'] or view['error_message'] or 'no reason was given'}"
        case RunStatus.FAILED:
            return str(view["error_message"] or "no reason was given")
        case RunStatus.COMPLETED if view["warnings"]:
            return "; ".join(view["warnings"])
        case RunStatus.COMPLETED:
            return f"{counted(len(view['steps']), 'step')}, {counted(view['rows_written'], 'row')} written."
        case RunStatus.CANCELLED:
            return "Finished steps keep their results."
        case RunStatus.SKIPPED:
            return "This firing was not run."
        case _ if view["waits_for"]:
            return f"Waits for {view['waits_for']}."
        case _:
            return f"{view['progress']} % of the steps are done."


def _slices(plan: Plan, stored: Mapping[str, StoredStep], run: Run) -> tuple[int, int]:
    writing = [step for step in plan.graph if _table(step) and step.enabled]
    done = [stored.get(record_id(step, run.epoch)) for step in writing]
    return sum(each is not None and each.step.status is StepStatus.COMPLETED for each in done), len(writing)


def _table(step: PlanStep) -> str:
    destination = step.config.get("destination")
    table = destination.get("table") if isinstance(destination, Mapping) else None
    return table if isinstance(table, str) else ""


def _timeline(
    run: Run, plan: Plan, stored: Mapping[str, StoredStep], listed: Sequence[StepView], now: datetime
) -> Timeline:
    rows: list[tuple[str, str, Sequence[Segment]]] = []
    queued = [move for move in run.transitions if move[1] == RunStatus.QUEUED]
    if queued:
        after = next((move for move in run.transitions if move[1] != RunStatus.QUEUED), None)
        end = now if after is None else from_text(after[0])
        waited = (end - run.created_at).total_seconds() * 1_000
        rows.append(("Queue", RunStatus.QUEUED, [Segment("wait", 0.0, waited, str(queued[-1][2]))]))
    for view in listed:
        known = stored.get(record_id(plan.by_id[view["step_id"]], run.epoch))
        moves = () if known is None else known.step.transitions
        rows.append((view["step_id"], view["status"], segments(moves, run.created_at, run.finished_at or now)))
    reached = [each.end for _, _, found in rows for each in found]
    total = ((run.finished_at or now) - run.created_at).total_seconds() * 1_000
    return timeline(rows, max([total, *reached]))


def _step_row(
    run: Run,
    plan: Plan,
    stored: Mapping[str, StoredStep],
    view: StepView,
    now: datetime,
    open_step: str,
    *,
    show: bool,
) -> StepRow:
    planned = plan.by_id[view["step_id"]]
    known = stored.get(record_id(planned, run.epoch))
    chosen = view["step_id"] == open_step
    found = [] if known is None else segments(known.step.transitions, run.created_at, run.finished_at or now)
    step = None if known is None else known.step
    return StepRow(
        view=view,
        depends_on=planned.depends_on,
        table=_table(planned),
        waited_ms=sum(each.end - each.start for each in found if each.kind == "wait"),
        input={name: value for name, value in planned.config.items() if value} if show or chosen else None,
        result=(step.error or step.result or {}) if step is not None and (show or chosen) else None,
        open=chosen,
    )


def _counts(view: RunView) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in view["steps"]:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    return counts
