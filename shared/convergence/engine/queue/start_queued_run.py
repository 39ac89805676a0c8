"""The start of a queued run: it is prepared now, and stored with its plan, its places and its org's queue."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from convergence.domain.events import run_event
from convergence.domain.records import changed
from convergence.domain.status import RunStatus
from convergence.domain.transitions import appended
from convergence.engine.finish_run import begin, error_data, fail_run
from convergence.engine.messages import publish_events
from convergence.engine.pipeline_limits import check_once, take_turn
from convergence.engine.prepare_run import Prepared, RunRequest, prepare
from convergence.engine.queue.reservation import reserve, reserved_until
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, dead_letter_write, plan_path, write_run
from convergence.errors import Conflict, ConvergenceError, Transient
from convergence.ports.documents import Create, Replace

_RUN_STEP: Final = "_run"


async def prepare_queued(services: Services, stored: StoredRun) -> Prepared | None:
    """Return what admission stores, or None after failing a run whose pipeline or parameters are wrong by now."""
    run = stored.run
    request = RunRequest(
        org=run.org,
        pipeline=run.pipeline,
        parameters=run.parameters,
        credential_id=run.credential_id,
        trigger=run.trigger,
        created_by=run.created_by,
        fire_time=run.dated,
        timezone=run.timezone,
        queued=run,
    )
    try:
        prepared = await prepare(services, request)
        await check_once(services, prepared.run)  # another run may have completed it while this one waited
        return prepared
    except (Transient, Conflict):
        raise
    except ConvergenceError as refused:
        now = services.clock.now()
        error = error_data(refused.code, str(refused), step_id=None, at=now)
        await fail_run(services, stored, error, dead_letter_write(run, _RUN_STEP, "", error, 1, now))
        return None


async def start_queued(services: Services, stored: StoredRun, prepared: Prepared, moved: Replace) -> int | None:
    """Start a run: one commit with its plan, its places and its org's queue. Raises `Conflict`.

    Return how many places the installation has left, None without a cap.
    """
    run, now, fresh = stored.run, services.clock.now(), prepared.run
    timeout = fresh.deadline_at - fresh.created_at
    history = run.transitions
    for at, to, reason in fresh.transitions:
        history = appended(history, datetime.fromisoformat(at), to, reason)
    started = changed(
        fresh,
        created_at=run.created_at,
        fire_time=run.fire_time,
        request_digest=run.request_digest,
        schedule_id=run.schedule_id,
        backfill_id=run.backfill_id,
        parent_run=run.parent_run,
        chain_depth=run.chain_depth,
        status=RunStatus.RUNNING,
        deadline_at=now + timeout,
        started_at=now,
        transitions=history,
        moves=run.moves + fresh.moves,
    )
    until = reserved_until(services, started.deadline_at)
    reserved = await reserve(services, started, prepared.limits, until=until, counted=True)
    turn = await take_turn(services, started, prepared.per_minute)
    plan = Create(plan_path(started), prepared.plan.to_data())
    written = await write_run(services, reserved.run, stored.version, plan, moved, *reserved.writes, *turn)
    services.cache.remember(written.run.run_id, written.run.plan_epoch, prepared.plan)
    await publish_events(services.bus, [run_event(written.run)])
    await begin(services, written, prepared.plan)
    return reserved.left
