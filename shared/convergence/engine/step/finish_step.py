"""Commit the outcome of an execution, and wake the step's dependents."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain.crashes import NO_LEASE, RELEASED
from convergence.domain.records import changed
from convergence.domain.status import StepStatus
from convergence.engine.dead_letter import announce
from convergence.engine.finish_run import fail_run
from convergence.engine.messages import publish_ready
from convergence.engine.step.delivery import StepDelivery
from convergence.engine.step.execute import Continued, Failed, Outcome, Stopped, Succeeded
from convergence.engine.store import StoredStep, dead_letter_write
from convergence.engine.wake_dependents import wake_dependents
from convergence.errors import Conflict, ConvergenceError, StorageFault
from convergence.ports.bus import Ack, Answer, Retry

logger = logging.getLogger(__name__)
STORAGE_S: Final = 10.0  # between two tries while this machine's storage does not work
DELAY_MAX_S: Final = 3600.0  # between two attempts
_SOON_S: Final = 60.0  # retries due later are left to the reconciler
ACK: Final = Ack()


async def finish_step(claimed: StepDelivery, held: StoredStep, outcome: Outcome, *, began: datetime) -> Answer:
    """Commit `outcome` against the version that the lease holds. A newer owner wins: then this result is dropped.

    While the state cannot be written, the outcome is kept: a step that is done is not repeated because of a full disk.
    """
    delivery = changed(claimed, held=held)
    answer: Answer = ACK
    name = f"{delivery.run.run_id}/{delivery.planned.step_id}"
    while True:
        try:
            return await _finish_step(delivery, outcome, began, claimed.step.moves)
        except Conflict:
            logger.info("%s: a newer owner took over; this result is dropped", name)
            return answer
        except StorageFault as error:
            logger.warning("%s: its outcome is not stored yet: %s", name, error)
            answer = Retry("a part of its outcome may be stored", 0.0)
            await delivery.services.clock.sleep(STORAGE_S)


async def release(claimed: StepDelivery, held: StoredStep) -> None:
    """Give up a step because its process stops: the next one takes it up at once and counts no crash."""
    try:
        await changed(claimed, held=held).move(StepStatus.RETRYING, "its process was stopped", **RELEASED)
    except ConvergenceError as error:
        logger.info("%s/%s: not released: %s", claimed.run.run_id, claimed.planned.step_id, error)


async def _finish_step(delivery: StepDelivery, outcome: Outcome, began: datetime, claimed_at: int) -> Answer:
    now = delivery.now()
    match outcome:
        case Succeeded(result=result, skipped=skipped):
            to, reason = (StepStatus.SKIPPED, "nothing to do") if skipped else (StepStatus.COMPLETED, "done")
            changes: dict[str, Any] = {
                "result": result,
                "error": None,
                "checkpoint": None,
                "stages": (),
                "finished_at": now,
            }
            await _wake(await delivery.move(to, reason, at=now, **RELEASED, **changes))
        case Continued(result=result, checkpoint=checkpoint, writes=writes):
            elapsed_s = delivery.step.elapsed_s + (now - began).total_seconds()
            changes = {"result": result, "checkpoint": checkpoint, "elapsed_s": elapsed_s}
            changes["stages"] = (*delivery.step.stages, claimed_at)
            if checkpoint != delivery.step.checkpoint:  # otherwise the same slice repeats, with the same writes
                changes["writes"] = writes
            await delivery.move(StepStatus.RETRYING, "to be continued", **RELEASED, **changes)
            await publish_ready(delivery.services.bus, delivery.run, [delivery.planned.step_id])
        case Stopped(reason=reason):
            # Only the owner may end its lease early; otherwise others would wait for an unused lease to expire.
            await delivery.move(StepStatus.RETRYING, f"stopped: {reason}", **RELEASED)
        case Failed(environment=True, error=error):
            due = delivery.now() + timedelta(seconds=STORAGE_S)
            changes = {"error": error, "not_before": due}
            return until_due(
                await delivery.move(StepStatus.RETRYING, f"put off: {error['message']}", **RELEASED, **changes)
            )
        case Failed(retryable=True) if delivery.step.failures + 1 < delivery.planned.attempts_max:
            return await _retry(delivery, outcome)
        case Failed(error=error):
            await fail(delivery, error)
    return ACK


async def _wake(delivery: StepDelivery) -> None:
    """Wake the dependents, unless the run ended meanwhile; an end step has none."""
    if not delivery.is_end_step:
        await wake_dependents(delivery.services, delivery.stored, delivery.plan, delivery.planned)


async def _retry(delivery: StepDelivery, failed: Failed) -> Answer:
    failures = delivery.step.failures + 1
    wait_s = delay_s(
        backoff_s=delivery.planned.backoff_s,
        failures=failures,
        fraction=delivery.services.ids.fraction(),
        at_least_s=failed.retry_after_s,
    )
    waiting = await delivery.move(
        StepStatus.RETRYING,
        f"attempt {failures} of {delivery.planned.attempts_max} failed: {failed.error['message']}",
        **RELEASED,
        failures=failures,
        error=failed.error,
        not_before=delivery.now() + timedelta(seconds=wait_s),
    )
    return until_due(waiting)


async def fail(delivery: StepDelivery, error: Mapping[str, Any]) -> None:
    """Write the final failure and its dead letter in one commit, then fail the run.

    An end step fails alone; a step whose failure is tolerated is done, with the error kept. So are the counts of
    crashes, for later analysis.
    """
    now, run, planned = delivery.now(), delivery.run, delivery.planned
    changes = {**NO_LEASE, "failures": delivery.step.failures + 1, "error": error, "finished_at": now}
    if planned.continue_on_failure:
        await _wake(await delivery.move(StepStatus.COMPLETED, "failed; the run goes on", **changes))
        return
    if delivery.is_end_step:
        await delivery.move(StepStatus.FAILED, str(error["message"]), **changes)
        return
    dead = dead_letter_write(run, planned.step_id, planned.ps_type, error, delivery.step.failures + 1, now)
    await delivery.move(StepStatus.FAILED, str(error["message"]), dead, **changes)
    await fail_run(delivery.services, delivery.stored, error)
    await announce(delivery.services, dead)


def until_due(delivery: StepDelivery) -> Answer:
    """Ask for another delivery when the step is due soon; otherwise the reconciler wakes it."""
    due = delivery.step.not_before
    wait_s = 0.0 if due is None else (due - delivery.now()).total_seconds()
    return Retry("not due", max(0.0, wait_s)) if wait_s <= _SOON_S else ACK


def delay_s(*, backoff_s: float, failures: int, fraction: float, at_least_s: float = 0.0) -> float:
    """Return seconds to wait after the `failures`-th failure (from 1).

    `backoff_s` doubles with each failure; half of it is fixed and half is random (`fraction` in [0, 1)), so that steps
    that failed together are not retried together. It is never less than the wait that the other side requested.
    """
    full = min(DELAY_MAX_S, backoff_s * 2.0 ** min(failures - 1, 30))
    return max(at_least_s, full * (0.5 + fraction / 2))
