"""Replay: the same run again from where it failed, in a new epoch. Finished steps are not done again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from convergence.config.parameters.values import edited, resolve_parameters
from convergence.config.resolve import ResolveRequest
from convergence.domain.dead_letter import DeadLetter
from convergence.domain.events import run_event
from convergence.domain.plan import Plan
from convergence.domain.records import changed
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.status import RUN_REPLAY, RunStatus
from convergence.domain.step import Applied, Step
from convergence.engine.messages import publish_events, publish_ready
from convergence.engine.prepare_run import check_addresses, notified, runnable
from convergence.engine.queue.reservation import reserve, reserved_until
from convergence.engine.secret_parameters import SEALED, seal, split_secrets
from convergence.engine.services import Services, dataset_of
from convergence.engine.store import (
    StoredRun,
    StoredStep,
    plan_path,
    read_all_steps,
    read_plan,
    require_run,
    step_path,
    write,
    write_run,
)
from convergence.errors import Conflict, InvalidInput, did_you_mean
from convergence.ports.documents import Create, Write
from convergence.tenants.orgs import check_runnable


async def replay(
    services: Services,
    org: str,
    run_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    latest: bool = False,
    applied: Mapping[str, Applied] | None = None,
    dead_letter: DeadLetter | None = None,
) -> Run:
    """Start the next epoch of a failed or cancelled run; `parameters` edit those it had.

    `applied` decides, for writes that took effect with a different input, whether they are kept or written again.

    A `dead_letter` that asks for it is refused unless its run is in the epoch that ended with it.

    With `latest` the pipeline file is read again (else the pinned plan is used, templates filled anew only when
    parameters were edited); it must still have the finished steps.

    Raises:
        InvalidInput: the run is not failed or cancelled, its dead letter was replayed already, the new plan does not
            fit its finished steps, or `applied` names a step that will not run.
        QuotaExceeded: no room to run now.
    """
    while True:
        stored = await require_run(services, org, run_id)
        run = stored.run
        if dead_letter is not None and run.epoch != dead_letter.epoch:
            name = dead_letter.letter_id
            raise InvalidInput(f"dead letter {name} was replayed already; run {run_id} is {run.status}")
        if run.status not in RUN_REPLAY:
            raise InvalidInput(f"run {run_id} is {run.status}; only failed and cancelled runs can be replayed")
        refuse_removing(run)
        check_runnable(await services.orgs.get(org))
        steps = await read_all_steps(services, run)
        edit = await _edit(services, run, parameters, latest=latest)
        _check_fit(edit.plan, steps)
        _check_applied(edit.plan, steps, applied or {})
        again, writes = await _next_epoch(services, stored, edit, steps, applied or {})
        try:
            await write_run(services, again, stored.version, *writes)
        except Conflict:
            continue
        await publish_events(services.bus, [run_event(again)])
        done = {name for name, step in steps.items() if step.step.done}
        ready = [step for step in edit.plan.graph if step.step_id not in done and done.issuperset(step.depends_on)]
        await publish_ready(services.bus, again, [step.step_id for step in ready])
        return again


async def check_edit(services: Services, run: Run, parameters: Mapping[str, Any] | None, *, latest: bool) -> None:
    """Raise what `replay` would raise for these parameters; nothing is stored."""
    if parameters is not None or latest:
        await _edit(services, run, parameters, latest=latest)


@dataclass(frozen=True, slots=True)
class _Edit:
    """The plan and parameters of the next epoch; `plan_epoch` stays the run's if nothing changed."""

    plan: Plan
    plan_epoch: int
    digest: str
    parameters: Mapping[str, Any]
    sealed: Mapping[str, str]
    reason: str


async def _edit(services: Services, run: Run, parameters: Mapping[str, Any] | None, *, latest: bool) -> _Edit:
    epoch = run.epoch + 1
    latest = latest or run.plan_epoch == NO_PLAN  # it ended before it was admitted: its file was never read
    if parameters is None and not latest:
        plan = await read_plan(services, run)
        return _Edit(plan, run.plan_epoch, run.digest, run.parameters, run.sealed, f"replay {epoch}")
    loaded = services.catalog.get(run.pipeline)
    if not latest and loaded.digest != run.digest:
        raise InvalidInput(
            f"{run.pipeline} has changed since run {run.run_id}; edited parameters need its templates. "
            "Replay with the latest file (--latest), or without edited parameters."
        )
    check_addresses(services, parameters or {})
    secret = {name for name, spec in loaded.pipeline.parameters.items() if spec.type == "secret"}
    kept_secrets = run.sealed.keys() & secret  # one that is no longer a secret has to be given again
    given = edited(loaded, {**run.parameters, **dict.fromkeys(kept_secrets, SEALED)}, parameters or {})
    kept, secrets = split_secrets(
        loaded, resolve_parameters(loaded, given, fire_time=run.dated, zone=run.timezone or None)
    )
    fresh = {name: value for name, value in secrets.items() if value != SEALED}
    request = ResolveRequest(
        org_slug=run.org,
        env=services.env,
        project_id=services.project_id,
        org_dataset=dataset_of(services, run.org),
        run_id=run.run_id,
        credential_id=run.credential_id,
        parameters=kept,
        profile=(await services.orgs.get(run.org)).profile,
        fire_time=run.dated,
    )
    changes = [*sorted(parameters or {}), *(["the pipeline's latest file"] if latest else [])]
    plan, _ = await runnable(services, loaded, request, sealed={*kept_secrets, *secrets})
    return _Edit(
        plan=notified(services, plan, loaded, request.profile),
        plan_epoch=epoch,
        digest=loaded.digest,
        parameters=kept,
        sealed={**{name: run.sealed[name] for name in kept_secrets}, **await seal(services, run.org, fresh)},
        reason=f"replay {epoch} with other {', '.join(changes)}",
    )


def refuse_removing(run: Run) -> None:
    """Raise `InvalidInput` for a run whose steps and plans are being removed."""
    if run.removing:
        raise InvalidInput(
            f"run {run.run_id} is being removed because its retention period is over; start a new run instead"
        )


def _check_fit(plan: Plan, steps: Mapping[str, StoredStep]) -> None:
    """Finished steps must be in the new plan, or their results would be orphaned."""
    graph = {step.step_id for step in plan.graph}
    for name, stored in steps.items():
        if stored.step.done and "~" not in name and name not in graph:
            raise InvalidInput(
                f"step {name!r} is finished, but the new plan does not have this step; start a new run instead"
            )


def _check_applied(plan: Plan, steps: Mapping[str, StoredStep], applied: Mapping[str, Applied]) -> None:
    """A word on a step that will not run would be lost without a sound."""
    open_steps = [step.step_id for step in plan.graph if step.step_id not in steps or not steps[step.step_id].step.done]
    for name in applied:
        if name not in open_steps:
            state = "is finished" if name in steps and steps[name].step.done else "is not a step of this run"
            raise InvalidInput(
                f"{name[:80]!r} {state}; nothing of it is kept or written again.{did_you_mean(name, open_steps)}"
            )


async def _next_epoch(
    services: Services,
    stored: StoredRun,
    edit: _Edit,
    steps: Mapping[str, StoredStep],
    applied: Mapping[str, Applied],
) -> tuple[Run, list[Write]]:
    """Return the run in its next epoch and what goes into the one commit that makes it so (docs/engine.md §7).

    Every step that is not done gets the new epoch, absent ones too: a message of the old epoch that is still under
    way must find nothing that it could begin.
    """
    now, token, run = services.clock.now(), services.ids.new("t"), stored.run
    deadline_at = now + timedelta(seconds=edit.plan.timeout_s)
    again = changed(
        run.advance(RunStatus.RUNNING, at=now, reason=edit.reason, token=token),
        epoch=run.epoch + 1,
        plan_epoch=edit.plan_epoch,
        digest=edit.digest,
        parameters=edit.parameters,
        former=run.edited(edit.parameters),
        sealed=edit.sealed,
        deadline_at=deadline_at,
        deadline_set_at=now,
        check_at=now + timedelta(seconds=services.settings.check_every_s),
        queue=None,
        expire_at=None,
        error=None,
        totals={},
        warnings=(),
    )
    limits = (await services.orgs.get(run.org)).limits
    until = reserved_until(services, deadline_at)
    reserved = await reserve(services, again, limits, until=until, counted=run.plan_epoch == NO_PLAN)
    again, writes = reserved.run, reserved.writes
    if edit.plan_epoch != run.plan_epoch:
        writes.append(Create(plan_path(again), edit.plan.to_data()))
    for planned in edit.plan.graph:
        known = steps.get(planned.step_id, StoredStep(Step(step_id=planned.step_id), 0))
        if not known.step.done:
            word = applied.get(planned.step_id)
            reset = known.step.replayed(epoch=again.epoch, at=now, token=token, applied=word)
            writes.append(write(step_path(run, planned.step_id), known.version, reset.to_data()))
    return again, writes
