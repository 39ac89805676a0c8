"""What runs after a run: queued runs that are created in the commit that ends it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from convergence.config.checks.chains import PASSED_ON
from convergence.domain.dead_letter import CHAINED, DeadLetter
from convergence.domain.plan import Plan
from convergence.domain.run import Run
from convergence.domain.schedule import Priority
from convergence.domain.status import RunStatus
from convergence.engine.queue.unprepared_run import Cause, unprepared_run
from convergence.engine.queue.waiting import ensure_queue, queued, ready_write
from convergence.engine.services import Services
from convergence.engine.store import dead_letter_write
from convergence.errors import ConfigErrors, ConvergenceError, InvalidInput, NotFound
from convergence.ports.documents import Create, Write

DEPTH_MAX: Final = 20  # runs in a chain, whatever its files change to between them
_OUTCOMES: Final = {RunStatus.COMPLETED: "on_success", RunStatus.FAILED: "on_failure"}


@dataclass(frozen=True, slots=True)
class Started:
    """The runs that follow, and the writes that create them or say why one is missing."""

    runs: list[Run] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


async def chain(services: Services, ended: Run, plan: Plan) -> Started:
    """Return what runs after a run, by its pinned plan. One that cannot be created becomes a dead letter instead.

    Ids follow from the run, its epoch and the place in its list, so that a repeated end does not create a second run.
    """
    outcome = _OUTCOMES.get(ended.status, "")
    listed = plan.then.get(outcome, ())
    if not listed:
        return Started()
    runs: list[Run] = []
    writes: list[Write] = []
    for number, each in enumerate(listed):
        name = f"{outcome}.{number}"
        try:
            runs.append(_next_run(services, ended, name, each))
        except (NotFound, InvalidInput, ConfigErrors) as error:
            writes.append(_not_started(services, ended, name, each, error))
    if runs:
        await ensure_queue(services, ended.org)
        pools = sorted({run.queue.pool for run in runs if run.queue is not None})
        writes += [*(Create(run.path, run.to_data()) for run in runs), ready_write(ended.org, pools)]
    return Started(runs, writes)


async def missed_run(services: Services, ended: Run, plan: Plan, dead_letter: DeadLetter) -> tuple[Run, list[Write]]:
    """Return the run that could not be created when `ended` ended, by its dead letter, and the writes to create it.

    Raises:
        NotFound: the pipeline of `then` still does not exist.
        InvalidInput: its credential or its place in the chain does not allow it.
        ConfigErrors: the pipeline's file is broken.
    """
    name = dead_letter.step_id.removeprefix(CHAINED)
    outcome, _, number = name.rpartition(".")
    run = _next_run(services, ended, name, plan.then[outcome][int(number)])
    await ensure_queue(services, ended.org)
    pools = [] if run.queue is None else [run.queue.pool]
    return run, [Create(run.path, run.to_data()), ready_write(ended.org, pools)]


def _next_run(services: Services, ended: Run, name: str, each: Mapping[str, Any]) -> Run:
    if ended.chain_depth >= DEPTH_MAX:
        raise InvalidInput(f"{DEPTH_MAX} runs are before it in its chain: `then` of these pipelines makes a loop")
    loaded = services.catalog.get(each["pipeline"])
    days = {day: ended.parameters[day] for day in PASSED_ON if day in ended.parameters}
    key = f"{ended.run_id}\n{ended.epoch}\n{name}"
    token = services.ids.new("t")
    run = unprepared_run(
        services,
        Cause(
            run_id=f"run_{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}",
            request=f"{ended.run_id}.{ended.epoch}.{name}",
            trigger="chain",
        ),
        org=ended.org,
        pipeline=loaded.path,
        credential_id=ended.credential_id if loaded.pipeline.provider == ended.provider else "",
        parameters={**days, **each.get("parameters", {})},
        token=token,
        created_by=ended.created_by,
        fire_time=ended.dated,
        timezone=ended.timezone,
        parent_run=ended.run_id,
        chain_depth=ended.chain_depth + 1,
    )
    return queued(services, run, Priority.SCHEDULED, f"after run {ended.run_id} ({name})", token=token)


def _not_started(services: Services, ended: Run, name: str, each: Mapping[str, Any], error: ConvergenceError) -> Write:
    message = f"{each['pipeline']} does not run after this run: {error}"
    data = {"code": error.code, "message": message}
    return dead_letter_write(ended, f"{CHAINED}{name}", "", data, 1, services.clock.now())
