"""One delivery of a step: look, decide, act (design: engine.md §6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from convergence.config.expression import evaluate
from convergence.config.resolve import resolve_results
from convergence.domain.claim import Decision, decide
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from convergence.engine.conclude import conclude, fail, until_due
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.execute import execute, time_limit
from convergence.engine.finish import fail_run
from convergence.engine.handlers import resolved
from convergence.engine.lease import Lease, is_leased
from convergence.engine.messages import StepReady
from convergence.engine.services import Services
from convergence.engine.settle import settle
from convergence.engine.store import StoredRun, StoredStep, read_plan, read_run, read_steps, record_id
from convergence.engine.visit import Visit
from convergence.errors import Conflict, ConvergenceError, InvalidInput, StepFailed, Transient
from convergence.ports.bus import Ack, Answer, Delivery

ACK: Final = Ack()
Results = Mapping[str, Mapping[str, Any]]


async def on_step_ready(services: Services, delivery: Delivery) -> Answer:
    """Handle one message of the topic `step-ready`. What cannot be read is kept as a letter."""
    try:
        ready = StepReady.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return ACK
    return await run_step(services, ready)


async def run_step(services: Services, ready: StepReady) -> Answer:
    """Carry a step as far as this process can. Every way out leaves a state from which a repeat goes on."""
    while True:
        stored = await read_run(services, ready.run_id)
        if stored is None or stored.run.epoch != ready.epoch:
            return ACK
        plan = await read_plan(services, stored.run)
        planned = plan.by_id.get(ready.step_id)
        if planned is None:
            return ACK
        try:
            return await _look(services, stored, plan, planned)
        except Conflict:
            continue  # somebody moved first: read again from the top


async def _look(services: Services, stored: StoredRun, plan: Plan, planned: PlanStep) -> Answer:
    run = stored.run
    mine, *needed = await read_steps(services, run, [record_id(planned, run.epoch), *planned.needs])
    found = {name: dep.step for name, dep in zip(planned.needs, needed, strict=True) if dep is not None}
    results = {name: step.result or {} for name, step in found.items()}
    held = StoredStep(Step(step_id=planned.step_id, children=planned.children), 0) if mine is None else mine
    visit = Visit(services, stored, plan, planned, held)
    try:
        decision = decide(
            run=run,
            planned=planned,
            step=None if mine is None else mine.step,
            dependencies=[found.get(name) for name in planned.depends_on],
            epoch=run.epoch,
            leased=is_leased(services, held.step),
            now=services.clock.now(),
            claims_max=services.settings.claims_max,
            condition=lambda: _condition(planned, run, results),
        )
    except StepFailed as error:  # the condition cannot be decided: the step's author has to act
        await fail(visit, visit.error(error.code, f"when: {error}"))
        return ACK
    return await _act(visit, decision, results)


def _condition(planned: PlanStep, run: Run, results: Results) -> bool:
    return planned.when is None or evaluate(planned.when, parameters=run.parameters, results=results)


async def _act(visit: Visit, decision: Decision, results: Results) -> Answer:
    match decision:
        case Decision.DROP:
            return ACK
        case Decision.WAIT:
            return until_due(visit)
        case Decision.SETTLE:
            await settle(visit.services, visit.stored, visit.plan, visit.planned)
        case Decision.FAIL_RUN:
            await fail_run(visit.services, visit.stored, visit.step.error or {})
        case Decision.SKIP:
            why = f"condition is false: {visit.planned.when}" if visit.planned.enabled else "disabled"
            await visit.move(StepStatus.SKIPPED, why, finished_at=visit.now())
            await settle(visit.services, visit.stored, visit.plan, visit.planned)
        case Decision.CRASHED:
            times = f"its process died {visit.step.claims} times while it ran"
            await fail(visit, visit.error("step.crashed_often", f"{visit.planned.ps_type}: {times}"))
        case Decision.BROKEN:
            await fail(visit, visit.error("step.broken", str(visit.planned.problem)))
        case Decision.CLAIM:
            return await _claim(visit, results)
    return ACK


async def _filled(visit: Visit, results: Results) -> PlanStep:
    """Return the step with what only its start could tell: results of others, or how the run ended."""
    if visit.handler:
        return await resolved(visit.services, visit.run, visit.plan, visit.planned)
    return resolve_results(visit.planned, results)


async def _claim(visit: Visit, results: Results) -> Answer:
    """Become the owner, execute, and commit what came out."""
    now, step, services = visit.now(), visit.step, visit.services
    try:
        planned = await _filled(visit, results)
    except Transient:
        raise  # nothing is claimed yet: the message comes again
    except ConvergenceError as error:
        await fail(visit, visit.error(error.code, str(error)))
        return ACK
    claimed = await visit.move(
        StepStatus.RUNNING,
        "claimed" if step.claims == 0 else f"claimed again: {step.claims} executions ended without an answer",
        at=now,
        epoch=visit.run.epoch,
        lease_owner=services.owner,
        lease_until=now + timedelta(seconds=services.settings.lease_s),
        claims=step.claims + 1,
        not_before=None,
        started_at=step.started_at or now,
    )
    record = record_id(planned, visit.run.epoch)
    limit = time_limit(services, visit.stored, planned, step)
    async with Lease(services, visit.stored, record, claimed.held, limit=limit) as lease:
        outcome = await execute(services, visit.stored, visit.plan, planned, lease, results)
    return await conclude(claimed, lease.held, outcome, began=now)
