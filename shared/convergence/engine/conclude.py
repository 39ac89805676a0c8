"""Commit how an execution ended, and wake whoever goes on from there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain.records import changed
from convergence.domain.retry import delay_s
from convergence.domain.status import StepStatus
from convergence.engine.dead_letter import announce
from convergence.engine.execute import Continued, Failed, Outcome, Stopped, Succeeded
from convergence.engine.finish import fail_run
from convergence.engine.messages import publish_ready
from convergence.engine.settle import settle
from convergence.engine.store import StoredStep, letter
from convergence.engine.visit import RELEASED, Visit
from convergence.errors import Conflict
from convergence.ports.bus import Ack, Answer, Retry

logger = logging.getLogger(__name__)
_SOON_S: Final = 60.0  # what is due later is left to the reconciler
ACK: Final = Ack()


async def conclude(claimed: Visit, held: StoredStep, outcome: Outcome, *, began: datetime) -> Answer:
    """Commit `outcome` against the version that the lease holds. A newer owner wins: then this result is dropped."""
    visit = changed(claimed, held=held)
    try:
        return await _conclude(visit, outcome, began, claimed.step.moves)
    except Conflict:
        logger.info("%s/%s: a newer owner went on; this result is dropped", visit.run.run_id, visit.planned.step_id)
        return ACK


async def _conclude(visit: Visit, outcome: Outcome, began: datetime, claimed_at: int) -> Answer:
    now = visit.now()
    match outcome:
        case Succeeded(result=result, skipped=skipped):
            to, why = (StepStatus.SKIPPED, "nothing to do") if skipped else (StepStatus.COMPLETED, "done")
            changes: dict[str, Any] = {
                "result": result,
                "error": None,
                "checkpoint": None,
                "stages": (),
                "finished_at": now,
            }
            await _wake(await visit.move(to, why, at=now, **RELEASED, **changes))
        case Continued(result=result, checkpoint=checkpoint):
            elapsed_s = visit.step.elapsed_s + (now - began).total_seconds()
            changes = {"result": result, "checkpoint": checkpoint, "elapsed_s": elapsed_s}
            changes["stages"] = (*visit.step.stages, claimed_at)
            await visit.move(StepStatus.RETRYING, "to be continued", **RELEASED, **changes)
            await publish_ready(visit.services.bus, visit.run, [visit.planned.step_id])
        case Stopped(why=why):
            # Only the owner may end its lease early; then nobody waits for one that is not used any more.
            await visit.move(StepStatus.RETRYING, f"stopped: {why}", **RELEASED)
        case Failed(retryable=True) if visit.step.failures + 1 < visit.planned.attempts_max:
            return await _retry(visit, outcome)
        case Failed(error=error):
            await fail(visit, error)
    return ACK


async def _wake(visit: Visit) -> None:
    """Let others go on, unless the run ended meanwhile; a handler is waited for by nobody."""
    if not visit.handler:
        await settle(visit.services, visit.stored, visit.plan, visit.planned)


async def _retry(visit: Visit, failed: Failed) -> Answer:
    failures = visit.step.failures + 1
    wait_s = delay_s(
        backoff_s=visit.planned.backoff_s,
        failures=failures,
        fraction=visit.services.ids.fraction(),
        at_least_s=failed.retry_after_s,
    )
    waiting = await visit.move(
        StepStatus.RETRYING,
        f"attempt {failures} of {visit.planned.attempts_max} failed: {failed.error['message']}",
        **RELEASED,
        failures=failures,
        error=failed.error,
        not_before=visit.now() + timedelta(seconds=wait_s),
    )
    return until_due(waiting)


async def fail(visit: Visit, error: Mapping[str, Any]) -> None:
    """Write the final failure and its dead letter in one commit, then fail the run.

    A handler fails only itself; a step whose failure is tolerated is done, with the error kept.
    """
    now, run, planned = visit.now(), visit.run, visit.planned
    changes = {**RELEASED, "failures": visit.step.failures + 1, "error": error, "finished_at": now}
    if planned.continue_on_failure:
        await _wake(await visit.move(StepStatus.COMPLETED, "failed; the run goes on", **changes))
        return
    if visit.handler:
        await visit.move(StepStatus.FAILED, str(error["message"]), **changes)
        return
    dead = letter(run, planned.step_id, planned.ps_type, error, visit.step.failures + 1, now)
    await visit.move(StepStatus.FAILED, str(error["message"]), dead, **changes)
    await fail_run(visit.services, visit.stored, error)
    await announce(visit.services, dead)


def until_due(visit: Visit) -> Answer:
    """Ask for another delivery when the step is due soon; else the reconciler wakes it."""
    due = visit.step.not_before
    wait_s = 0.0 if due is None else (due - visit.now()).total_seconds()
    return Retry("not due", max(0.0, wait_s)) if wait_s <= _SOON_S else ACK
