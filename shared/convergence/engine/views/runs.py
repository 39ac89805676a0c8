"""What people and other programs see of runs: JSON-able read models, made from the documents alone.

They read and never write, so they work in a second process while a writer is at work. Shapes: `view_models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain import crashes
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.status import RUN_TERMINAL, STEP_DONE, STEP_TERMINAL, RunStatus, StepStatus
from convergence.domain.step import Step
from convergence.domain.times import to_text
from convergence.engine.finish_run import matching_end_steps
from convergence.engine.queue.waiting import reason_to_wait
from convergence.engine.services import Services
from convergence.engine.store import StoredStep, read_all_steps, read_plan, record_id, require_run
from convergence.engine.views.models import Change, History, Move, RunSummary, RunView, StepView
from convergence.engine.views.notifications import unsent
from convergence.errors import InvalidInput, did_you_mean
from convergence.ports.documents import Order, Where

PAGE_MAX: Final = 500
_AT_WORK: Final = (StepStatus.RUNNING, StepStatus.PROCESSING)
RUN_STATUSES: Final = tuple(status.value for status in RunStatus)


async def status(services: Services, org: str, run_id: str) -> RunView:
    """Return a run of `org` with its steps in plan order. Raises `NotFound`."""
    run = (await require_run(services, org, run_id)).run
    plan = await read_plan(services, run)
    waits = await queue_reason(services, run)
    return status_of(run, plan, await read_all_steps(services, run), services.clock.now(), queued=waits)


async def queue_reason(services: Services, run: Run) -> str | None:
    """Return what a queued run waits for, None for any other run."""
    return await reason_to_wait(services, run) if run.status is RunStatus.QUEUED else None


def status_of(
    run: Run, plan: Plan, stored: Mapping[str, StoredStep], now: datetime, *, queued: str | None = None
) -> RunView:
    """Return a run as its documents say, for who has read them; `queued`: what a queued one waits for."""
    steps = [_step_view(run, planned, stored, now) for planned in _shown(run, plan)]
    graph = [step for step in steps if step["trigger"] is None]
    done = sum(step["status"] in STEP_DONE for step in graph)
    summary = _summary(run, now)
    summary["records_processed"] = sum(step["rows_processed"] for step in graph)
    summary["rows_written"] = sum(step["rows_written"] for step in graph)
    return {
        **summary,
        "provider": run.provider,
        "domain": plan.domain,
        "progress": 100 if run.status is RunStatus.COMPLETED else 100 * done // max(1, len(graph)),
        "waits_for": queued or _waits_for(run, plan, stored, now),
        "parent_run": run.parent_run or None,
        "children": list(run.children),
        "warnings": [*(run.warnings or _warnings(plan, stored)), *unsent(run, plan, stored)],
        "focus": [dict(found) for found in _verdicts(plan, stored)],
        "steps": steps,
    }


async def history(
    services: Services,
    org: str,
    *,
    provider: str | None = None,
    status: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> History:
    """Return runs of `org`, latest first. Raises `InvalidInput` for a status, limit or cursor that does not exist."""
    where = [Where("org", "==", org)]
    if provider is not None:
        where.append(Where("provider", "==", provider))
    if status is not None:
        if status not in RUN_STATUSES:
            raise InvalidInput(f"no run has the status {status!r}.{did_you_mean(status, RUN_STATUSES)}")
        where.append(Where("status", "==", status))
    page = await _page(services, "runs", where, limit, cursor)
    now = services.clock.now()
    return {"runs": [_summary(Run.from_data(data), now) for _, data in page[0]], "cursor": page[1]}


async def summary(services: Services, org: str, run_id: str) -> RunSummary:
    """Return a run of `org` as one line of a history. Raises `NotFound`."""
    return _summary((await require_run(services, org, run_id)).run, services.clock.now())


async def transitions(services: Services, org: str, run_id: str) -> list[Move]:
    """Return every recorded move of a run and its steps, oldest first. Raises `NotFound`."""
    run = (await require_run(services, org, run_id)).run
    return moves_of(run, await read_all_steps(services, run))


def moves_of(run: Run, stored: Mapping[str, StoredStep]) -> list[Move]:
    """Return the moves that the documents hold, for who has read them."""
    moves: list[Move] = [_move(None, *move) for move in run.transitions]
    for each in stored.values():
        moves += [_move(each.step.step_id, *move) for move in each.step.transitions]
    return sorted(moves, key=lambda move: move["at"])  # stable: the run's own move comes before a step's of that moment


async def results(services: Services, org: str, run_id: str) -> dict[str, Mapping[str, Any]]:
    """Return what the steps of a run answered, by step. Raises `NotFound`."""
    run = (await require_run(services, org, run_id)).run
    stored = await read_all_steps(services, run)
    return {item.step.step_id: item.step.result for item in stored.values() if item.step.result is not None}


async def _page(
    services: Services, collection: str, where: list[Where], limit: int, cursor: str | None
) -> tuple[list[tuple[str, dict[str, Any]]], str | None]:
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(f"limit must be a number from 1 to {PAGE_MAX}, not {limit}")
    order = [Order("created_at", descending=True)]
    try:
        page = await services.documents.query(collection, where=where, order=order, limit=limit, cursor=cursor)
    except ValueError as error:
        raise InvalidInput("the cursor is unknown; leave it out to begin again") from error
    return [(document.path, document.data) for document in page.documents], page.cursor


def _verdicts(plan: Plan, stored: Mapping[str, StoredStep]) -> Iterable[Mapping[str, Any]]:
    """Return what `generic.focus_gate` found, in plan order."""
    for planned in plan.graph:
        result = stored[planned.step_id].step.result if planned.step_id in stored else None
        if result is not None and isinstance(found := result.get("focus"), Mapping):
            yield found


def _shown(run: Run, plan: Plan) -> Iterable[PlanStep]:
    """Return the graph, and the end steps that may still start or that match the run's outcome."""
    return (*plan.graph, *(matching_end_steps(run, plan) if run.terminal else plan.end_steps))


def _summary(run: Run, now: datetime) -> RunSummary:
    return {
        "run_id": run.run_id,
        "org": run.org,
        "pipeline": run.pipeline,
        "status": run.status.value,
        "outcome": run.outcome,
        "trigger": run.trigger,
        "created_by": run.created_by or run.trigger,
        "credential_id": run.credential_id,
        "start_date": _day(run, "start_date"),
        "end_date": _day(run, "end_date"),
        "parameters": dict(run.parameters),
        "changes": _changes(run),
        "epoch": run.epoch,
        "records_processed": int(run.totals.get("rows_processed", 0)),
        "rows_written": int(run.totals.get("rows_written", 0)),
        "error_message": None if run.error is None else str(run.error.get("message")),
        "error_code": None if run.error is None else str(run.error.get("code")),
        "created_at": to_text(run.created_at),
        "started_at": _text(run.started_at),
        "completed_at": _text(run.finished_at),
        "duration_ms": run.lasted(now) // timedelta(milliseconds=1),
    }


def _day(run: Run, name: str) -> str | None:
    value = run.parameters.get(name)
    return value if isinstance(value, str) else None


def _changes(run: Run) -> list[Change]:
    """Return what each replay changed in the parameters, oldest first."""
    found: list[Change] = []
    sets = [each["parameters"] for each in run.former] + [run.parameters]
    for each, before, after in zip(run.former, sets, sets[1:], strict=False):
        for name in sorted({*before, *after}):
            old, new = before.get(name), after.get(name)
            if old != new:
                found.append({"epoch": each["until"] + 1, "name": name, "before": old, "after": new})
    return found


def _step_view(run: Run, planned: PlanStep, stored: Mapping[str, StoredStep], now: datetime) -> StepView:
    known = stored.get(record_id(planned, run.epoch))
    step = Step(step_id=planned.step_id) if known is None else known.step
    result = step.result or {}
    shown = _shown_status(run, planned, step)
    over = run.status in RUN_TERMINAL and step.finished_at is None and shown not in _AT_WORK
    return {
        "step_id": planned.step_id,
        "ps_type": planned.ps_type,
        "status": shown.value,
        "trigger": planned.trigger,
        "attempts": _attempts(step),
        "attempts_max": planned.attempts_max,
        "crashes": step.crashes,
        "crashes_when_proven": step.crashes_when_proven,
        "crashes_when_isolated": step.crashes_when_isolated,
        "next_attempt_at": _text(step.not_before) if _rests(step, now) and not run.terminal else None,
        "started_at": _text(step.started_at),
        "completed_at": _text(step.finished_at),
        "duration_ms": None if over else _ms(step.started_at, step.finished_at, now),
        "rows_processed": int(result.get("rows_processed") or 0),
        "rows_written": int(result.get("rows_written") or 0),
        "balance": result.get("balance"),
        "error_message": None if step.error is None else str(step.error.get("message")),
        "error_code": None if step.error is None else str(step.error.get("code")),
    }


def _shown_status(run: Run, planned: PlanStep, step: Step) -> StepStatus:
    """Return the step's status, processing for a running one that loads its rows, or cancelled for one that was left
    unfinished when its run ended.

    End steps begin after the end; those that are not done when the run is closed are left too.
    """
    left = run.terminal if planned.trigger is None else run.terminal and run.check_at is None
    if left and step.status not in STEP_TERMINAL:
        return StepStatus.CANCELLED
    return StepStatus.PROCESSING if step.status is StepStatus.RUNNING and step.loading else step.status


def _attempts(step: Step) -> int:
    """Failures, and the attempt that succeeded, is under way, or rests between two slices or after a crash."""
    if step.started_at is None:
        return 0
    resting = step.status is StepStatus.RETRYING and step.elapsed_s == 0 and not step.crashes
    return step.failures + (0 if step.status is StepStatus.FAILED or resting else 1)


def _waits_for(run: Run, plan: Plan, stored: Mapping[str, StoredStep], now: datetime) -> str | None:
    """Return which next attempt of a step a running run waits for, if it does."""
    if run.terminal or run.status is RunStatus.QUEUED:
        return None
    waiting: list[tuple[datetime, str]] = []
    for planned in plan.graph:
        step = stored[planned.step_id].step if planned.step_id in stored else None
        if step is not None and step.status is StepStatus.RUNNING:
            return None
        if step is None or step.done:
            continue
        if step.not_before is not None and _rests(step, now):
            waiting.append((step.not_before, f"{_next(planned, step)} at {to_text(step.not_before)}"))
        elif crashes.suspect(step):
            waiting.append((now, f"{_next(planned, step)} as soon as it can run alone"))
    return min(waiting)[1] if waiting else None


def _rests(step: Step, now: datetime) -> bool:
    return step.not_before is not None and step.not_before > now


def _next(planned: PlanStep, step: Step) -> str:
    died = f"again, {crashes.crash_report(step)}," if step.crashes else ""
    return f"{planned.step_id}: attempt {step.failures + 1} of {planned.attempts_max} {died}".rstrip()


def _warnings(plan: Plan, stored: Mapping[str, StoredStep]) -> list[str]:
    """Return the warnings that the run will get when it is closed."""
    steps = [stored[planned.step_id].step for planned in plan.graph if planned.step_id in stored]
    return [message for step in steps for message in step.warnings]


def _move(step_id: str | None, at: str, to: str, reason: str) -> Move:
    return {"at": at, "step_id": step_id, "status": str(to), "why": reason}


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)


def _ms(start: datetime | None, end: datetime | None, now: datetime) -> int | None:
    if start is None:
        return None
    return max(0, int(((end or now) - start).total_seconds() * 1000))
