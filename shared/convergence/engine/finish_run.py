"""The ends of a run: completed, or failed. Both give back the reservation in the same commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from convergence.domain.dead_letter import Closed, DeadLetterState
from convergence.domain.events import run_event
from convergence.domain.plan import Plan, PlanStep, Trigger
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.chain import chain
from convergence.engine.messages import publish_events, publish_queue_changed, publish_ready, publish_webhooks_ready
from convergence.engine.services import Services
from convergence.engine.store import (
    DEAD_LETTERS,
    StoredRun,
    once_path,
    read_plan,
    read_run,
    release_writes,
    write,
    write_run,
)
from convergence.engine.webhooks.create import creates, deliveries_of
from convergence.errors import Conflict
from convergence.ports.documents import Patch, Where, Write

_TEXT_MAX: Final = 10_000  # characters of an error
_DEAD_LETTERS_MAX: Final = 80  # of a run that are closed with it: a commit holds 100 documents; one more is replayed
_MATCHING: Mapping[RunStatus, frozenset[Trigger]] = {
    RunStatus.COMPLETED: frozenset({"on_success", "on_completion", "always"}),
    RunStatus.FAILED: frozenset({"on_failure", "on_completion", "always"}),
    RunStatus.CANCELLED: frozenset({"on_completion", "always"}),
}


async def begin(services: Services, stored: StoredRun, plan: Plan) -> None:
    """Start the first steps of an admitted run; one that has nothing but end steps is complete at once."""
    if plan.graph:
        await publish_ready(services.bus, stored.run, [step.step_id for step in plan.roots])
    else:
        await finish_run(services, stored)


async def finish_run(services: Services, stored: StoredRun) -> None:
    """Complete the run whose last steps are all done."""
    await _end(services, stored, RunStatus.COMPLETED, "all steps done", error=None)


async def fail_run(services: Services, stored: StoredRun, error: Mapping[str, Any], *extra: Write) -> None:
    """Fail the run; `error` is {code, message, step_id}. `extra` goes into the same commit."""
    step_id = error.get("step_id")
    reason = f"step {step_id} failed" if step_id else str(error.get("message"))
    await _end(services, stored, RunStatus.FAILED, reason, *extra, error=error)


async def _end(
    services: Services, stored: StoredRun, to: RunStatus, reason: str, *extra: Write, error: Mapping[str, Any] | None
) -> None:
    """Write the terminal status once, even with concurrent attempts."""
    run, version = stored
    while not run.terminal:
        token = services.ids.new("t")
        ended = changed(run.advance(to, at=services.clock.now(), reason=reason, token=token), queue=None)
        if error is not None:
            ended = changed(ended, error=error)
        done = await _completion(services, run) if to is RunStatus.COMPLETED else []
        started = await chain(services, ended, await read_plan(services, run))
        if started.runs:
            ended = changed(ended, children=(*ended.children, *(each.run_id for each in started.runs)))
        notices = await deliveries_of(services, ended)
        also = [*release_writes(run), *extra, *done, *started.writes, *creates(notices)]
        try:
            await write_run(services, ended, version, *also)
        except Conflict:
            again = await read_run(services, run.run_id)
            if again is None or again.run.epoch != run.epoch:
                return
            run, version = again
            continue
        await announce(services, ended)
        await publish_webhooks_ready(services.bus, [each.delivery_id for each in notices])
        if started.runs:
            await publish_events(services.bus, [run_event(each) for each in started.runs])
            await publish_queue_changed(services.bus, ended.org)
        return


async def announce(services: Services, run: Run) -> None:
    """Publish that a run is terminal, and start its end steps."""
    await publish_events(services.bus, [run_event(run)])
    await publish_queue_changed(services.bus, run.org, run.run_id)
    plan = await read_plan(services, run)
    await publish_ready(services.bus, run, [step.step_id for step in matching_end_steps(run, plan)])


def matching_end_steps(run: Run, plan: Plan) -> list[PlanStep]:
    """Return the end steps that this end of the run calls for."""
    return [step for step in plan.end_steps if step.trigger in _MATCHING[run.status]]


def run_timed_out(timeout_s: float) -> str:
    """Return what a run, and a step that it cut off, say when the run has had its time."""
    return f"Pipeline execution timed out after {timeout_s:g}s"


def error_data(code: str, message: str, *, step_id: str | None, at: datetime) -> dict[str, Any]:
    """Return the form in which errors are stored; an error's text must never prevent storing it.

    Half a character (a lone surrogate) cannot be stored, and a document holds 1 MiB; of a long text, the beginning is
    kept.
    """
    kept = message if len(message) <= _TEXT_MAX else message[:_TEXT_MAX] + " …"
    storable = kept.encode("utf-8", "replace").decode()
    return {"code": code, "message": storable, "step_id": step_id, "at": to_text(at)}


async def _completion(services: Services, run: Run) -> list[Write]:
    """Return what goes into the commit that completes a run: its mark, and the end of the dead letters it had."""
    once = [await _once(services, run)] if run.run_once else []
    return once if run.epoch == 0 else [*once, *await _close_dead_letters(services, run)]


async def _close_dead_letters(services: Services, run: Run) -> list[Write]:
    page = await services.documents.query(
        DEAD_LETTERS, where=[Where("run_id", "==", run.run_id)], limit=_DEAD_LETTERS_MAX
    )
    reason = f"completed in epoch {run.epoch}"
    closed = Closed(state=DeadLetterState.COMPLETED, at=services.clock.now(), by="engine", reason=reason)
    open_ones = [document.path for document in page.documents if document.data.get("closed") is None]
    return [Patch(path, {("closed",): closed.to_data()}) for path in open_ones]


async def _once(services: Services, run: Run) -> Write:
    path = once_path(run)
    mark = await services.documents.get(path)
    return write(path, 0 if mark is None else mark.version, {"org": run.org, "run_id": run.run_id})
