"""Send again what was lost, and fail what is over its deadline (design: docs/engine.md §8).

Never fails a step: only its owner, or a claim that finds it over the crash limit, may do that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain.events import counted_event, run_event
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RUN_TERMINAL, RunStatus, StepStatus
from convergence.domain.times import from_text, to_text
from convergence.engine.dead_letter import announce as announce_dead_letter
from convergence.engine.finish_run import error_data, fail_run, finish_run, matching_end_steps, run_timed_out
from convergence.engine.lateness import warn_if_late
from convergence.engine.messages import publish_events, publish_ready
from convergence.engine.queue.enqueue import check_queued
from convergence.engine.queue.reservation import reserve, reserved_until
from convergence.engine.retention.expiry import expiry
from convergence.engine.services import Services
from convergence.engine.step.lease import is_leased
from convergence.engine.store import (
    StoredRun,
    StoredStep,
    dead_letter_write,
    read_all_steps,
    read_plan,
    read_run,
    record_id,
    write_run,
)
from convergence.errors import Conflict, ConvergenceError, QuotaExceeded
from convergence.ports.documents import Order, Patch, Where

logger = logging.getLogger(__name__)
_PAGE: Final = 100
_AT_ONCE: Final = 32  # runs that are looked at together: a pass over 10,000 must not take minutes of waiting
_TOTALS: Final = ("rows_processed", "rows_written")
_BYTES: Final = "bytes_processed"
_RUN_STEP: Final = "_run"  # the dead letter of a run that failed by its deadline, not by a step
Steps = Mapping[str, StoredStep]


async def reconcile(services: Services, *, everything: bool = False) -> int:
    """Look at every due run (`everything`: at each with work left, as after a restart); return how many.

    A run that cannot be read is postponed, so that it does not starve others.
    """
    now = services.clock.now()
    where = [] if everything else [Where("check_at", "<=", to_text(now))]
    found: list[str] = []  # first all, then act: acting moves a run past the cursor, where it would be found again
    cursor: str | None = None
    while True:
        page = await services.documents.query(
            "runs", where=where, order=[Order("check_at")], limit=_PAGE, cursor=cursor
        )
        if cursor is None and page.documents and not everything:
            warn_if_late("runs", from_text(page.documents[0].data["check_at"]), now)
        found += [document.path.rpartition("/")[2] for document in page.documents]
        if page.cursor is None:
            break
        cursor = page.cursor
        await asyncio.sleep(0)  # many may be left or due at once: requests and steps come between them
    # In an order of its own: of two ticks in the same order, the later one would catch up and then repeat the other's
    # work.
    waiting = iter(sorted(found, key=lambda _: services.ids.fraction()))
    due = None if everything else now
    await asyncio.gather(*(_take_turns(services, waiting, due) for _ in range(min(_AT_ONCE, len(found)))))
    return len(found)


async def _take_turns(services: Services, waiting: Iterator[str], due: datetime | None) -> None:
    for run_id in waiting:
        await _guarded(services, run_id, due)
        await asyncio.sleep(0)


async def reconcile_each(services: Services, run_ids: Iterable[str]) -> None:
    """Look at runs whether they are due or not; one that cannot be read is postponed."""
    for run_id in run_ids:
        await _guarded(services, run_id, None)


async def count_unclosed(services: Services) -> int:
    """Return for how many runs something is left to do."""
    return await services.documents.count("runs", where=[Where("check_at", ">", "")])


async def count_unfinished(services: Services, most: int) -> int:
    """Return how many runs have steps left to do, or `most`; one whose rows are not counted yet is over."""
    page = await services.documents.query(
        "runs", where=[Where("check_at", ">", "")], order=[Order("check_at")], limit=most
    )
    return sum(RunStatus(document.data["status"]) not in RUN_TERMINAL for document in page.documents)


async def next_check(services: Services) -> datetime | None:
    """Return when the next run is due, or None when none is."""
    page = await services.documents.query("runs", order=[Order("check_at")], limit=1)
    return from_text(page.documents[0].data["check_at"]) if page.documents else None


async def _guarded(services: Services, run_id: str, due: datetime | None) -> None:
    try:
        await reconcile_run(services, run_id, due=due)
    except Exception as error:
        logger.warning("run %s could not be reconciled: %s", run_id, error, exc_info=error)
        later = services.clock.now() + timedelta(seconds=services.settings.check_every_s)
        try:  # a patch, for the document may be what cannot be read
            await services.documents.commit([Patch(f"runs/{run_id}", {("check_at",): to_text(later)})])
        except ConvergenceError as again:
            logger.warning("run %s could not be postponed: %s", run_id, again)


async def reconcile_run(services: Services, run_id: str, *, due: datetime | None = None) -> None:
    """Act on one run, then move its check_at; with `due`, only if no other tick has moved it since then."""
    stored = await read_run(services, run_id)
    if stored is None or stored.run.check_at is None or (due is not None and stored.run.check_at > due):
        return
    run, now = stored.run, services.clock.now()
    if run.queue is not None:
        await check_queued(services, stored)
        return
    plan = await read_plan(services, run)
    steps = await read_all_steps(services, run)
    if run.terminal:
        await _close(services, stored, plan, steps)
        return
    failed = next((steps[s.step_id].step for s in plan.graph if _status(steps, s) is StepStatus.FAILED), None)
    if failed is not None:
        await fail_run(services, stored, failed.error or {})
    elif all(_done(steps, name) for name in plan.sink_ids):
        await finish_run(services, stored)
    elif now >= run.deadline_at:
        # Embedded, `absence` has moved the deadline already by the time in which no worker was there.
        untouched = not steps and run.deadline_set_at is None and not services.settings.sole_process
        if not (untouched and await _admit_late(services, stored, plan)):
            await _time_out(services, stored, plan)
    else:
        await _put_off(services, stored, await _send_again(services, run, plan, steps))


async def _send_again(services: Services, run: Run, plan: Plan, steps: Steps) -> datetime:
    """Publish steps without a live owner; return when to look next."""
    now = services.clock.now()
    soon = now + timedelta(seconds=services.settings.check_every_s)
    ready, times = [], [run.deadline_at]
    for planned in plan.graph:
        if _done(steps, planned.step_id) or not all(_done(steps, name) for name in planned.depends_on):
            continue
        step = steps[planned.step_id].step if planned.step_id in steps else None
        if step is not None and is_leased(services, run.run_id, planned.step_id, step):
            times.append(step.lease_until or soon)
        elif step is not None and step.not_before is not None and step.not_before > now:
            times.append(step.not_before)
        else:
            ready.append(planned.step_id)
            times.append(soon)
    await publish_ready(services.bus, run, ready)
    return max(min(times), now)


async def _admit_late(services: Services, stored: StoredRun, plan: Plan) -> bool:
    """Restart the deadline, once, of a run that no worker has begun. False when its quota has no room."""
    run, now, token = stored.run, services.clock.now(), services.ids.new("t")
    deadline_at = now + timedelta(seconds=plan.timeout_s)
    limits = (await services.orgs.get(run.org)).limits
    soon = now + timedelta(seconds=services.settings.check_every_s)
    again = changed(run, deadline_at=deadline_at, deadline_set_at=now, check_at=soon, token=token)
    try:
        until = reserved_until(services, deadline_at)
        reserved = await reserve(services, again, limits, until=until, counted=False)
    except QuotaExceeded:
        return False
    again = reserved.run
    try:
        await write_run(services, again, stored.version, *reserved.writes)
    except Conflict:
        return True  # the other writer decides; the next pass looks again
    await _send_again(services, again, plan, {})
    return True


async def _time_out(services: Services, stored: StoredRun, plan: Plan) -> None:
    """Fail a run past its deadline, with a dead letter of its own."""
    run, now = stored.run, services.clock.now()
    message = f"{run_timed_out(plan.timeout_s)}; raise timeout_minutes, or replay it"
    error = error_data("run.timeout", message, step_id=None, at=now)
    dead = dead_letter_write(run, _RUN_STEP, "", error, 1, now)
    await fail_run(services, stored, error, dead)
    await announce_dead_letter(services, dead)


async def _close(services: Services, stored: StoredRun, plan: Plan, steps: Steps) -> None:
    """After the end: wait for the end steps, count the rows, publish again, and stop checking the run."""
    run, now = stored.run, services.clock.now()
    waiting: list[str] = []
    for end_step in matching_end_steps(run, plan):
        known = steps.get(record_id(end_step, run.epoch))
        if known is None or not (known.step.done or known.step.status is StepStatus.FAILED):
            waiting.append(end_step.step_id)
    ended_at = max(run.finished_at or now, run.deadline_set_at or run.finished_at or now)
    if waiting and now < ended_at + timedelta(seconds=plan.timeout_s):
        await publish_ready(services.bus, run, waiting)
        await _put_off(services, stored, now + timedelta(seconds=services.settings.check_every_s))
        return
    graph = [steps[step.step_id].step for step in plan.graph if step.step_id in steps]
    totals = _totals([step.result or {} for step in graph])
    warnings = tuple(warning for step in graph for warning in step.warnings)
    expire_at = await expiry(services, "runs", run.org, run.finished_at or now)
    warned = run.status is RunStatus.COMPLETED and bool(warnings)
    closed = changed(run, totals=totals, warnings=warnings, with_warnings=warned, expire_at=expire_at)
    await publish_events(services.bus, [run_event(run)])
    if await _put_off(services, StoredRun(closed, stored.version), None):  # another pass may have counted more steps
        await publish_events(services.bus, [counted_event(closed)])
    services.cache.forget(run)


def _totals(results: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the rows of a run's steps, and the bytes that its statements read where a step knows (BigQuery does)."""
    totals = {name: sum(int(each.get(name) or 0) for each in results) for name in _TOTALS}
    sizes = [int(each[_BYTES]) for each in results if each.get(_BYTES) is not None]
    return {**totals, **({_BYTES: sum(sizes)} if sizes else {})}


async def _put_off(services: Services, stored: StoredRun, until: datetime | None) -> bool:
    """Move check_at; return False when another writer changed the run meanwhile."""
    token = services.ids.new("t")
    run = changed(stored.run, check_at=until, token=token)
    try:
        await write_run(services, run, stored.version)
    except Conflict:
        return False
    return True


def _status(steps: Steps, planned: PlanStep) -> StepStatus:
    return steps[planned.step_id].step.status if planned.step_id in steps else StepStatus.PENDING


def _done(steps: Steps, name: str) -> bool:
    return name in steps and steps[name].step.done
