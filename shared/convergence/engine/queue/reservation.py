"""A run's places: among the org's concurrent runs, and in the caps that hold over all orgs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from convergence.config.files.providers import provider_of
from convergence.domain.caps import GLOBAL, Cap, CapShard, credential_cap, provider_cap
from convergence.domain.queue import NO_POOL
from convergence.domain.quota import Limits
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.store import budget_path, read_usage, write
from convergence.errors import ConfigErrors, InvalidInput, NotFound, QuotaExceeded
from convergence.ports.documents import Document, Order, Where, Write


class CapReached(QuotaExceeded):
    """A cap over all orgs has no free place; `cap` is its name."""

    def __init__(self, cap: Cap) -> None:
        """Name the cap and its limit."""
        subject, _, name = cap.name.partition("-")
        what = "of the installation" if cap.name == GLOBAL else f"of {subject} {name}"
        super().__init__(
            f"Concurrent run limit {what} ({cap.limit}) reached; the run can start when another one ends.",
            retry_after_s=60,
        )
        self.cap = cap.name


def caps_of(services: Services, provider: str, credential_id: str) -> list[Cap]:
    """Return the caps in force for runs of a provider with a credential; none unless configured."""
    places = services.settings.cap_shard_places
    caps = installation_caps(services)
    found = provider_of(services.providers(), provider)
    if found is not None and found.max_concurrent_runs is not None:
        caps.append(Cap.sharded(provider_cap(provider), found.max_concurrent_runs, places))
    if found is not None and found.max_concurrent_runs_per_credential is not None and credential_id:
        caps.append(Cap.sharded(credential_cap(credential_id), found.max_concurrent_runs_per_credential, places))
    return caps


def installation_caps(services: Services) -> list[Cap]:
    """Return the cap that holds for every run, if there is one."""
    settings = services.settings
    return [] if settings.runs_max is None else [Cap.sharded(GLOBAL, settings.runs_max, settings.cap_shard_places)]


def with_one_registry(services: Services) -> Services:
    """Return services that read the registry of providers once: for a pass, because each look asks for its files."""
    return replace(services, providers=cache(services.providers))


def pool_of(services: Services, provider: str, credential_id: str, pipeline: str) -> str:
    """Return the pool of runs that share every cap; a pipeline with a limit per minute has a pool of its own."""
    caps = {cap.name for cap in caps_of(services, provider, credential_id)} - {GLOBAL}
    pool = NO_POOL
    if caps:
        pool = f"{provider}.{credential_id}" if credential_cap(credential_id) in caps else provider
    return pool if rate_of(services, pipeline) is None else f"{pool}~{pipeline}"


def rate_of(services: Services, pipeline: str) -> int | None:
    """Return how many runs of a pipeline an org may start in a minute; None: as many as it likes."""
    try:
        return services.catalog.get(pipeline).pipeline.rate_limit_per_minute
    except (NotFound, InvalidInput, ConfigErrors):  # its file is missing or invalid: admission reports that
        return None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The run with its places, the writes that take them, and the org's paused pipelines as of these writes.

    `left` is how many places the installation has left, None without a cap.
    """

    run: Run
    writes: list[Write] = field(default_factory=list)
    paused: Mapping[str, str] = field(default_factory=dict)
    left: int | None = None


async def reserve(services: Services, run: Run, limits: Limits, *, until: datetime, counted: bool) -> Reservation:
    """Find room for a run until `until`; `counted` is False for one that is not a new run.

    Raises:
        CapReached: a cap has no room.
        QuotaExceeded: the org has no room.
    """
    now = services.clock.now()
    usage, version = await read_usage(services, budget_path(run))
    reserved = usage.reserve(run.run_id, limits, now=now, until=until, counted=counted, token=run.token)
    writes: list[Write] = [write(budget_path(run), version, reserved.to_data())]
    taken: list[str] = []
    left: int | None = None
    for cap in caps_of(services, run.provider, run.credential_id):
        found, free = await _place(services, cap, run, now, until)
        writes.append(found)
        taken.append(found.path)
        left = free if cap.name == GLOBAL else left
    return Reservation(changed(run, caps=tuple(taken)), writes, usage.paused, left)


async def check_turn(services: Services, run: Run) -> None:
    """Let no new run pass queued ones of other orgs, where a cap makes them wait for each other.

    Raises:
        CapReached: there are some, so this one has to queue.
    """
    caps = caps_of(services, run.provider, run.credential_id)
    if not caps:
        return
    page = await services.documents.query(
        "org_queues", where=[Where("ready", "==", True)], order=[Order("virtual_start")], limit=1
    )
    if page.documents:
        raise CapReached(caps[0])


def reserved_until(services: Services, deadline_at: datetime) -> datetime:
    """Return when a reservation becomes void: work stops at the deadline, so no live run outlives it."""
    return deadline_at + timedelta(seconds=services.settings.lease_s)


async def free_places(services: Services, caps: Sequence[Cap]) -> dict[str, int]:
    """Return how many places each cap has left."""
    now, free = services.clock.now(), {}
    for cap in caps:
        documents = await services.documents.get_many(cap.paths())
        active = [len(_shard(each).active(now)) for each in documents]
        free[cap.name] = cap.free(active)
    return free


async def _place(services: Services, cap: Cap, run: Run, now: datetime, until: datetime) -> tuple[Write, int]:
    """Return the write that takes a place, and how many are left. Raises `CapReached`."""
    paths = cap.paths()
    documents = await services.documents.get_many(paths)
    held = [_shard(each) for each in documents]
    active = [len(each.active(now, but=run.run_id)) for each in held]
    free = cap.free(active)
    first = int(services.ids.fraction() * cap.shards) if cap.shards > 1 else 0
    for shard in (*range(first, cap.shards), *range(first)):
        if active[shard] < cap.share(shard) and free:
            document = documents[shard]
            taken = held[shard].taken(run.run_id, now=now, until=until, token=run.token)
            return write(paths[shard], 0 if document is None else document.version, taken.to_data()), free - 1
    raise CapReached(cap)


def _shard(document: Document | None) -> CapShard:
    return CapShard() if document is None else CapShard.from_data(document.data)
