"""Wake the dependents of a finished step, and finish the run after its last step."""

from __future__ import annotations

from convergence.domain.plan import Plan, PlanStep
from convergence.engine.fan_in import FINISH
from convergence.engine.finish_run import finish_run
from convergence.engine.messages import publish_ready
from convergence.engine.services import Services
from convergence.engine.store import StoredRun


async def wake_dependents(services: Services, stored: StoredRun, plan: Plan, planned: PlanStep) -> None:
    """Publish each child whose dependencies look done; finish the run when all last steps are.

    Repeating it is harmless: a hint too many is dropped at the claim, finishing twice changes nothing.
    """
    run, fan_in = stored.run, services.cache.fan_in
    ready = []
    for name in planned.children:
        if fan_in.woken(run, name):
            continue
        siblings = plan.by_id[name].depends_on
        if await fan_in.complete(services.documents, run, name, siblings, planned.step_id):
            ready.append(name)
    if ready:
        await publish_ready(services.bus, run, ready)
        for name in ready:
            if len(plan.by_id[name].depends_on) > 1:
                fan_in.mark_woken(run, name)
    if not planned.children and await fan_in.complete(services.documents, run, FINISH, plan.sink_ids, planned.step_id):
        await finish_run(services, stored)
        services.cache.forget(run)
