"""One delivery of a step: look, decide, act (design: docs/engine.md §6)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from convergence.config.conditions.expression import evaluate
from convergence.config.resolve import resolve_results
from convergence.domain import crashes
from convergence.domain.claim import Decision, decide
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.finish_run import fail_run
from convergence.engine.messages import StepReady
from convergence.engine.services import Services
from convergence.engine.step.delivery import StepDelivery
from convergence.engine.step.end_steps import resolved
from convergence.engine.step.execute import execute, time_limit
from convergence.engine.step.finish_step import fail, finish_step, release, until_due
from convergence.engine.step.inputs import input_digest
from convergence.engine.step.lease import Lease, is_leased
from convergence.engine.store import StoredRun, StoredStep, read_plan, read_run, read_steps, record_id
from convergence.engine.wake_dependents import wake_dependents
from convergence.errors import Conflict, ConvergenceError, InvalidInput, StepFailed, Transient
from convergence.ports.bus import Ack, Answer, Delivery, Retry

ACK: Final = Ack()
Results = Mapping[str, Mapping[str, Any]]
_CREATES: Final = (Decision.CLAIM, Decision.SKIP, Decision.BROKEN)  # each begins with a write of the step


async def on_step_ready(services: Services, delivery: Delivery) -> Answer:
    """Handle one message of the topic `step-ready`. An unreadable message is kept as a dead letter."""
    try:
        ready = StepReady.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return ACK
    return await run_step(services, ready, first=delivery.attempt == 1)


async def run_step(services: Services, ready: StepReady, *, first: bool = False) -> Answer:
    """Advance a step as far as this process can. Every exit leaves a state from which a repeat continues.

    `first`: the message is delivered for the first time, so most likely the step has no document yet.
    """
    executions, settings = services.cache.executions, services.settings
    async with executions.beside():
        answer = await _carry(services, ready, isolated=False, absent=first and ready.epoch == 0)
    if answer is not None:
        return answer
    young_s = settings.proven_after_s - executions.up_s()
    if young_s > 0:
        return Retry("it runs alone in a process that has been up for longer", young_s)
    async with executions.alone(settings.isolation_wait_s) as granted:
        answer = await _carry(services, ready, isolated=True) if granted else None
    return Retry("other steps are running in this process", 10.0) if answer is None else answer


async def _carry(services: Services, ready: StepReady, *, isolated: bool, absent: bool = False) -> Answer | None:
    """Read until no other writer interferes, then act; None when the step has to run alone and does not yet."""
    while True:
        stored = await read_run(services, ready.run_id)
        if stored is None or stored.run.epoch != ready.epoch:
            return ACK
        plan = await read_plan(services, stored.run)
        planned = plan.by_id.get(ready.step_id)
        if planned is None:
            return ACK
        try:
            return await _look(services, stored, plan, planned, isolated=isolated, absent=absent)
        except Conflict:
            absent = False  # another writer came first: read everything again


async def _look(
    services: Services, stored: StoredRun, plan: Plan, planned: PlanStep, *, isolated: bool, absent: bool = False
) -> Answer | None:
    """Decide by what is stored. `absent`: assume that the step is not, because reading nothing is billed, too (ADR 16).

    A decision on that assumption holds only if it creates the step's document, which proves the assumption.
    """
    run = stored.run
    record = record_id(planned, run.epoch)
    mine, *needed = await _read(services, run, record, planned.needs, absent=absent)
    found = {name: dep.step for name, dep in zip(planned.needs, needed, strict=True) if dep is not None}
    results = {name: step.result or {} for name, step in found.items()}
    held = StoredStep(Step(step_id=planned.step_id), 0) if mine is None else mine
    delivery = StepDelivery(services, stored, plan, planned, held)
    try:
        decision = decide(
            run=run,
            planned=planned,
            step=None if mine is None else mine.step,
            dependencies=[found.get(name) for name in planned.depends_on],
            epoch=run.epoch,
            leased=is_leased(services, run.run_id, record, held.step),
            now=services.clock.now(),
            isolated=isolated,
            crashes_max=services.settings.crashes_max,
            condition=lambda: _condition(planned, run, results),
        )
    except StepFailed as error:  # the condition cannot be decided: the step's author has to act
        await fail(delivery, delivery.error(error.code, f"when: {error}"))
        return ACK
    if absent and decision not in _CREATES:
        return await _look(services, stored, plan, planned, isolated=isolated)
    return await _act(delivery, decision, results, isolated=isolated)


async def _read(
    services: Services, run: Run, record: str, needs: Sequence[str], *, absent: bool
) -> list[StoredStep | None]:
    """Return the step, or None where it is supposed to be absent, and then the steps that it needs."""
    if absent:
        return [None, *(await read_steps(services, run, needs) if needs else [])]
    return await read_steps(services, run, [record, *needs])


def _condition(planned: PlanStep, run: Run, results: Results) -> bool:
    return planned.when is None or evaluate(planned.when, parameters=run.parameters, results=results)


async def _act(delivery: StepDelivery, decision: Decision, results: Results, *, isolated: bool) -> Answer | None:
    match decision:
        case Decision.DROP:
            return ACK
        case Decision.WAIT:
            return until_due(delivery)
        case Decision.WAKE_DEPENDENTS:
            await wake_dependents(delivery.services, delivery.stored, delivery.plan, delivery.planned)
        case Decision.FAIL_RUN:
            await fail_run(delivery.services, delivery.stored, delivery.step.error or {})
        case Decision.SKIP:
            reason = f"condition is false: {delivery.planned.when}" if delivery.planned.enabled else "disabled"
            await delivery.move(StepStatus.SKIPPED, reason, finished_at=delivery.now())
            await wake_dependents(delivery.services, delivery.stored, delivery.plan, delivery.planned)
        case Decision.DIED:
            return await _count_death(delivery)
        case Decision.CRASHED:
            attempt = f"attempt {delivery.step.failures + 1} of {delivery.planned.attempts_max}"
            message = f"{delivery.planned.ps_type}: {attempt}: {crashes.crash_report(delivery.step)}"
            await fail(delivery, delivery.error("step.crashed_often", message))
        case Decision.ISOLATE:
            return None
        case Decision.BROKEN:
            await fail(delivery, delivery.error("step.broken", str(delivery.planned.problem)))
        case Decision.CLAIM:
            return await _claim(delivery, results, isolated=isolated)
    return ACK


async def _count_death(delivery: StepDelivery) -> Answer:
    """Note that an owner died, and let the step rest."""
    now = delivery.now()
    changes = crashes.count_crash(delivery.step, now)
    reason = f"its process died, {crashes.times(changes['crashes'])} so far"
    return until_due(await delivery.move(StepStatus.RETRYING, reason, at=now, **changes))


async def _filled(delivery: StepDelivery, results: Results) -> PlanStep:
    """Return the step with what is known only at its start: results of other steps, or how the run ended."""
    if delivery.is_end_step:
        return await resolved(delivery.services, delivery.run, delivery.plan, delivery.planned)
    return resolve_results(delivery.planned, results)


async def _claim(delivery: StepDelivery, results: Results, *, isolated: bool) -> Answer:
    """Become the owner, execute, and commit what came out."""
    now, step, services = delivery.now(), delivery.step, delivery.services
    try:
        planned = await _filled(delivery, results)
    except Transient:
        raise  # nothing is claimed yet: the message comes again
    except ConvergenceError as error:
        await fail(delivery, delivery.error(error.code, str(error)))
        return ACK
    claimed = await delivery.move(
        StepStatus.RUNNING,
        "claimed alone" if isolated else "claimed",
        at=now,
        epoch=delivery.run.epoch,
        lease_owner=services.owner,
        lease_until=now + timedelta(seconds=services.settings.lease_s),
        lease_proven=services.cache.executions.up_s() >= services.settings.proven_after_s,
        lease_isolated=isolated,
        not_before=None,
        started_at=step.started_at or now,
        input=input_digest(delivery.run, delivery.plan, planned, services.configs_dir),
        epochs=step.claimed_in(delivery.run.epoch),
    )
    record = record_id(planned, delivery.run.epoch)
    limit = time_limit(services, delivery.stored, planned, step)
    lease = Lease(services, delivery.stored, record, claimed.held, limit=limit)
    key = (delivery.run.run_id, record)
    services.cache.at_work.add(key)
    try:
        async with lease:
            outcome = await execute(services, delivery.stored, delivery.plan, planned, lease, results)
        return await finish_step(claimed, lease.held, outcome, began=now)
    except asyncio.CancelledError:  # the process stops
        await release(claimed, lease.held)
        raise
    finally:
        services.cache.at_work.discard(key)
