"""Replays of many dead letters as stored objects: create, find, pause, resume, cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import (
    FAILURES_MAX,
    PER_MINUTE_MAX,
    REFUSED_MAX,
    DeadLetterReplay,
    ReplayStatus,
)
from convergence.domain.records import changed
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dead_letters.plan_replays import ReplaysPlan, plan_replays
from convergence.engine.kept_parameters import check_kept
from convergence.engine.rounds import change_between_rounds
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import InvalidInput, NotFound, QuotaExceeded, did_you_mean
from convergence.ports.documents import Create, Order, Where

REPLAYS: Final = "dead_letter_replays"
RUNNING_MAX: Final = 5  # of an org; callers at the same time may exceed it by a few
_LISTED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaysRequest:
    """What a caller asks for."""

    criteria: Filter
    parameters: Mapping[str, Any] = field(default_factory=dict)
    latest: bool = False
    per_minute: int = 30
    failures_max: int = 10
    operator: bool = False
    created_by: str = ""


class StoredReplay(NamedTuple):
    """A replay of many and the version it was read at."""

    replay: DeadLetterReplay
    version: int


async def plan(services: Services, request: ReplaysRequest) -> ReplaysPlan:
    """Check a request and count what it would do; store nothing.

    Raises:
        InvalidInput: a number out of its range, parameters without a pipeline, or that it does not accept.
        NotFound: the pipeline.
    """
    if not 1 <= request.per_minute <= PER_MINUTE_MAX:
        raise InvalidInput(f"per_minute must be a number from 1 to {PER_MINUTE_MAX}, not {request.per_minute}")
    if not 1 <= request.failures_max <= FAILURES_MAX:
        raise InvalidInput(f"failures_max must be a number from 1 to {FAILURES_MAX:,}, not {request.failures_max:,}")
    if request.parameters and request.criteria.pipeline is None:
        raise InvalidInput("edited parameters need the pipeline that they belong to: name it in the filter")
    if request.parameters and request.criteria.pipeline is not None:
        check_kept(services.catalog.get(request.criteria.pipeline), request.parameters, "a replay of dead letters")
    return await plan_replays(
        services, request.criteria, parameters=dict(request.parameters) or None, latest=request.latest
    )


async def create(services: Services, request: ReplaysRequest) -> DeadLetterReplay:
    """Store the request; the next feed starts its first replay.

    Raises:
        QuotaExceeded: the org has the maximum number of running replays.
        InvalidInput: nothing is found, or what `plan` raises.
    """
    found = await plan(services, request)
    if not found.runs:
        raise InvalidInput(
            "no open dead letter of a run matches the filter; list them with: convergence dead-letters list"
        )
    criteria, now = request.criteria, services.clock.now()
    await _check_running(services, criteria.org or "")
    replay = DeadLetterReplay(
        replay_id=services.ids.new("dlr"),
        org=criteria.org or "",
        before=min(criteria.before or now, now),
        after=criteria.after,
        created_at=now,
        updated_at=now,
        pipeline=criteria.pipeline,
        step_id=criteria.step_id,
        code=criteria.code,
        parameters=dict(request.parameters),
        latest=request.latest,
        operator=request.operator,
        created_by=request.created_by,
        per_minute=request.per_minute,
        failures_max=request.failures_max,
        total=found.runs,
        next_check_at=now,
        token=services.ids.new("t"),
    )
    await commit(services.documents, [Create(replay.path, replay.to_data())], replay.token)
    return replay


def filter_of(replay: DeadLetterReplay) -> Filter:
    """Return which dead letters a stored request is about."""
    return Filter(
        org=replay.org or None,
        pipeline=replay.pipeline,
        step_id=replay.step_id,
        code=replay.code,
        state=DeadLetterState.OPEN,
        before=replay.before,
        after=replay.after,
    )


async def read_replay(services: Services, replay_id: str) -> StoredReplay | None:
    """Return a replay of many, or None."""
    document = await services.documents.get(f"{REPLAYS}/{replay_id}")
    return None if document is None else StoredReplay(DeadLetterReplay.from_data(document.data), document.version)


async def require_replay(services: Services, org: str | None, replay_id: str) -> StoredReplay:
    """Return one of `org`, with None any. Raises `NotFound`, also for another org's."""
    stored = await read_replay(services, replay_id) if replay_id and "/" not in replay_id else None
    if stored is None or org not in (None, stored.replay.org):
        known = [each.replay_id for each in await replays_of(services, org)]
        raise NotFound(f"there is no replay {replay_id[:100]!r} of dead letters.{did_you_mean(replay_id[:100], known)}")
    return stored


async def replays_of(services: Services, org: str | None, *, limit: int = 50) -> list[DeadLetterReplay]:
    """Return those of an org, latest first; None: those over all orgs."""
    where = [Where("org", "==", org or "")]
    page = await services.documents.query(
        REPLAYS, where=where, order=[Order("created_at", descending=True)], limit=limit
    )
    return [DeadLetterReplay.from_data(document.data) for document in page.documents]


async def running_replays(services: Services) -> list[DeadLetterReplay]:
    """Return those that are running, of each org and over all orgs, the first due first."""
    page = await services.documents.query(
        REPLAYS, where=[Where("next_check_at", ">", "")], order=[Order("next_check_at")], limit=_LISTED_MAX
    )
    found = [DeadLetterReplay.from_data(document.data) for document in page.documents]
    return [each for each in found if each.status is ReplayStatus.RUNNING]


async def pause(services: Services, org: str | None, replay_id: str) -> DeadLetterReplay:
    """Start no further replay; those under way go on."""

    def edit(each: DeadLetterReplay) -> DeadLetterReplay:
        if each.status is not ReplayStatus.RUNNING:
            raise InvalidInput(f"replay {replay_id} is {each.status} already")
        return changed(each, status=ReplayStatus.PAUSED)

    return await _change(services, org, replay_id, edit)


async def resume(services: Services, org: str | None, replay_id: str) -> DeadLetterReplay:
    """Resume: a stopped one begins with a single replay again and restarts its count of failures.

    Raises:
        NotFound: there is none.
        InvalidInput: it is neither paused nor stopped, or so many were refused that it remembers no more.
        QuotaExceeded: as `create`.
    """
    stored = await require_replay(services, org, replay_id)
    await _check_running(services, stored.replay.org)

    def edit(each: DeadLetterReplay) -> DeadLetterReplay:
        if each.status not in (ReplayStatus.PAUSED, ReplayStatus.STOPPED):
            raise InvalidInput(f"replay {replay_id} is {each.status}; only a paused or stopped one can be resumed")
        if len(each.refused_ids) > REFUSED_MAX:
            raise InvalidInput(
                f"replay {replay_id} was refused more than {REFUSED_MAX:,} runs: discard what cannot be replayed, and "
                "start a new replay"
            )
        stopped = each.status is ReplayStatus.STOPPED
        more = each.failed + each.refused if stopped else 0
        return changed(
            each,
            status=ReplayStatus.RUNNING,
            reason="",
            first_passed=each.first_passed and not stopped,
            failures_max=each.failures_max + more,
        )

    return await _change(services, org, replay_id, edit)


async def cancel_replay(services: Services, org: str | None, replay_id: str) -> DeadLetterReplay:
    """End it; replays under way go on, since they are runs of their own."""

    def edit(each: DeadLetterReplay) -> DeadLetterReplay:
        if each.status in (ReplayStatus.CANCELLED, ReplayStatus.DONE):
            raise InvalidInput(f"replay {replay_id} is {each.status} already")
        return changed(each, status=ReplayStatus.CANCELLED, reason="cancelled on request")

    return await _change(services, org, replay_id, edit)


async def _change(
    services: Services, org: str | None, replay_id: str, edit: Callable[[DeadLetterReplay], DeadLetterReplay]
) -> DeadLetterReplay:
    return await change_between_rounds(
        services, lambda: require_replay(services, org, replay_id), edit, f"replay {replay_id}"
    )


async def _check_running(services: Services, org: str) -> None:
    where = [Where("org", "==", org), Where("status", "==", ReplayStatus.RUNNING.value)]
    if await services.documents.count(REPLAYS, where=where) >= RUNNING_MAX:
        raise QuotaExceeded(
            f"{RUNNING_MAX} replays of dead letters are running: wait until one ends, or pause or cancel one"
        )
