"""Plan and create backfills: which slices there are, and what earlier runs made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from convergence.domain.backfill import (
    CONCURRENCY_MAX,
    SLICES_MAX,
    Backfill,
    BackfillStatus,
    Mode,
    Slice,
    SliceState,
    Step,
    slices_of,
)
from convergence.engine.backfills.look_up import Asked, Found, look_up
from convergence.engine.kept_parameters import check_kept
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.services import Services
from convergence.engine.store import commit
from convergence.errors import InvalidInput, QuotaExceeded
from convergence.ports.documents import Create, Where

RUNNING_MAX: Final = 20  # backfills of an org; callers at the same time may exceed it by a few
_YEARS: Final = range(1970, 3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """What a caller asks for; both days are included."""

    org: str
    pipeline: str
    start: date
    end: date
    step: Step = Step.DAY
    mode: Mode = Mode.MISSING
    newest_first: bool = True
    concurrency: int = 1
    failures_max: int = 10
    credential_id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The backfill that would be stored, and what was found out about each slice."""

    backfill: Backfill
    found: list[Found]
    usd_per_tib: Decimal  # of what statements read in BigQuery


async def plan_backfill(services: Services, request: BackfillRequest) -> BackfillPlan:
    """Check a request as a run of it would be checked, and look up its slices; store nothing.

    Raises:
        InvalidInput: too many slices, a range that ends before it begins, parameters that cannot be kept, or what
            `prepare` raises for its first slice.
    """
    _check(request)
    loaded = services.catalog.get(request.pipeline)
    check_kept(loaded, request.parameters, "a backfill")
    slices = list(slices_of(request.start, request.end, request.step))
    asked = await asked_for(
        services, request.org, request.pipeline, request.parameters, request.credential_id, slices[0]
    )
    found = await look_up(services, asked, slices)
    states = [_state(each, request.mode) for each in found]
    others: dict[str, list[int]] = {}
    for index, each in enumerate(found):
        for run_id in each.runs if states[index] is SliceState.RUNNING else ():
            others.setdefault(run_id, []).append(index)
    now = services.clock.now()
    backfill = Backfill(
        backfill_id=services.ids.new("bf"),
        org=request.org,
        pipeline=asked.run.pipeline,
        start=request.start.isoformat(),
        end=request.end.isoformat(),
        step=request.step,
        mode=request.mode,
        states="".join(states),
        created_at=now,
        updated_at=now,
        credential_id=request.credential_id,
        parameters=dict(request.parameters),
        newest_first=request.newest_first,
        concurrency=request.concurrency,
        failures_max=request.failures_max,
        others=others,
        next_check_at=now,
        token=services.ids.new("t"),
    )
    return BackfillPlan(backfill, found, services.settings.query_usd_per_tib)


async def asked_for(
    services: Services, org: str, pipeline: str, parameters: Mapping[str, Any], credential_id: str, of: Slice
) -> Asked:
    """Return what a run for one of the slices asks for. Raises what `prepare` raises."""
    request = RunRequest(
        org=org, pipeline=pipeline, parameters={**parameters, **dates_of(of)}, credential_id=credential_id
    )
    prepared = await prepare(services, request)
    return Asked(services.catalog.get(pipeline), parameters, credential_id, prepared.run)


async def create_backfill(services: Services, request: BackfillRequest) -> Backfill:
    """Store a backfill; `feed` starts its runs.

    Raises:
        QuotaExceeded: the org has the maximum number of running backfills.
        Everything that `plan_backfill` raises.
    """
    await check_running(services, request.org)
    backfill = (await plan_backfill(services, request)).backfill
    await commit(services.documents, [Create(backfill.path, backfill.to_data())], backfill.token)
    return backfill


async def check_running(services: Services, org: str) -> None:
    """Raise `QuotaExceeded` when no further backfill of an org may run: every pass looks at each one that does."""
    where = [Where("org", "==", org), Where("status", "==", BackfillStatus.RUNNING.value)]
    if await services.documents.count("backfills", where=where) >= RUNNING_MAX:
        raise QuotaExceeded(f"{org} has {RUNNING_MAX} backfills running: wait until one ends, or pause or cancel one")


def dates_of(of: Slice) -> dict[str, str]:
    """Return the parameters that a slice sets."""
    return {"start_date": of.start.isoformat(), "end_date": of.end.isoformat()}


def _check(request: BackfillRequest) -> None:
    if request.start > request.end:
        raise InvalidInput(f"the first day {request.start} is after the last day {request.end}")
    if request.start.year not in _YEARS or request.end.year not in _YEARS:
        raise InvalidInput(f"days of a backfill must be in the years {_YEARS[0]} to {_YEARS[-1]}")
    slices = slices_of(request.start, request.end, request.step)
    if sum(1 for _ in islice(slices, SLICES_MAX + 1)) > SLICES_MAX:
        raise InvalidInput(
            f"{request.start} to {request.end} are more than {SLICES_MAX:,} slices: choose a shorter range, or weeks or"
            " months as the step"
        )
    if not 1 <= request.concurrency <= CONCURRENCY_MAX:
        raise InvalidInput(f"concurrency must be a number from 1 to {CONCURRENCY_MAX}, not {request.concurrency}")
    if not 1 <= request.failures_max <= SLICES_MAX:
        raise InvalidInput(f"failures_max must be a number from 1 to {SLICES_MAX:,}, not {request.failures_max:,}")
    dated = sorted({"start_date", "end_date", "date"} & set(request.parameters))
    if dated:
        raise InvalidInput(f"the slices set {', '.join(dated)}; leave it out of the parameters")


def _state(found: Found, mode: Mode) -> SliceState:
    if mode is Mode.ALL or found.state == "failed" or (mode is Mode.MISSING and found.state == "missing"):
        return SliceState.OPEN
    return _LEFT[found.state]


_LEFT: Final = {"complete": SliceState.COMPLETE, "active": SliceState.RUNNING, "missing": SliceState.SKIPPED}
