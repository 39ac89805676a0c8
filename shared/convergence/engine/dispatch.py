"""Accept a run: store it with its plan and reservation in one commit, then wake its first steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from convergence.domain.events import run_event
from convergence.domain.run import Run
from convergence.engine.finish_run import begin
from convergence.engine.messages import publish_events
from convergence.engine.pipeline_limits import check_once, take_turn
from convergence.engine.prepare_run import Prepared, RunRequest, prepare
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.queue.reservation import check_turn, reserve, reserved_until
from convergence.engine.queue.waiting import paused_text
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, plan_path, read_run, write_run
from convergence.errors import Conflict, Denied, InvalidInput, QuotaExceeded, RateLimited
from convergence.ports.documents import Create

_RESERVE_ATTEMPTS: Final = 12


async def dispatch(services: Services, request: RunRequest) -> Run:
    """Accept a run: store it with its plan and reservation in one commit, then wake its first steps.

    The same idempotency key gives the same run, whose first steps are hinted at again.

    Raises:
        QuotaExceeded: a limit of the org is reached; nothing was stored.
        Denied: the pipeline is paused, or the org may not run.
        RateLimited: the pipeline's own `rate_limit_per_minute` is reached; nothing was stored.
        InvalidInput: the idempotency key was used for another request, or the pipeline ran once already.
        Everything that `prepare` raises.
    """
    prepared = await prepare(services, request)
    if request.idempotency_key is not None:
        again = await _same_request(services, prepared)
        if again is not None:
            return again
    await check_once(services, prepared.run)
    try:
        _check_not_paused(prepared.run, prepared.org.paused_pipelines)
        stored = await _reserve(services, prepared)
    except (Conflict, QuotaExceeded, RateLimited, _Paused) as error:
        # The same request, sent twice at once, may have taken the last place.
        again = None if request.idempotency_key is None else await _same_request(services, prepared)
        if again is None and request.queue and isinstance(error, QuotaExceeded | _Paused):
            return await enqueue(services, prepared.run)
        if again is None:
            raise
        return again
    run = stored.run
    services.cache.remember(run.run_id, run.plan_epoch, prepared.plan)
    await publish_events(services.bus, [run_event(run)])
    await begin(services, stored, prepared.plan)
    return run


class _Paused(Denied):
    """The run's pipeline is paused."""


def _check_not_paused(run: Run, paused: Mapping[str, str]) -> None:
    if run.pipeline in paused:
        text = paused_text(run.pipeline, paused[run.pipeline])
        raise _Paused(f"{run.org} is not starting runs of {text}; with queue=true a run waits in the queue")


async def _reserve(services: Services, prepared: Prepared) -> StoredRun:
    """Store run, plan and reservation. Others may reserve for the org at the same time: then it is retried.

    A pause writes what the reservation replaces, so no run starts after its answer. Raises `_Paused`.
    """
    run = prepared.run
    until = reserved_until(services, run.deadline_at)
    plan = Create(plan_path(run), prepared.plan.to_data())
    await check_turn(services, run)
    for attempt in range(1, _RESERVE_ATTEMPTS + 1):
        async with services.cache.lock(run.org):  # callers in this process need not race each other
            reserved = await reserve(services, run, prepared.limits, until=until, counted=True)
            _check_not_paused(run, reserved.paused)
            try:
                turn = await take_turn(services, run, prepared.per_minute)
                return await write_run(services, reserved.run, 0, plan, *reserved.writes, *turn)
            except Conflict:
                if attempt == _RESERVE_ATTEMPTS or await services.documents.get(run.path) is not None:
                    raise
        await services.clock.sleep(services.ids.fraction() * min(1.0, 0.01 * 2.0**attempt))
    raise AssertionError("the last attempt returns or raises")


async def _same_request(services: Services, prepared: Prepared) -> Run | None:
    """Return the run that this request made before, its first steps hinted at again."""
    stored = await read_run(services, prepared.run.run_id)
    if stored is None:
        return None
    if stored.run.request_digest != prepared.run.request_digest or stored.run.org != prepared.run.org:
        raise InvalidInput(
            f"the idempotency key belongs to run {stored.run.run_id}, which was for a different request; use a new key"
        )
    if not stored.run.terminal:
        await begin(services, stored, prepared.plan)
    return stored.run
