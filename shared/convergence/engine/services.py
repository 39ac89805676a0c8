"""Everything that the engine's functions need, in one record: a new port does not change their signatures."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from weakref import WeakValueDictionary

from convergence.config.files.models import Providers, Retention
from convergence.config.loader import LoadedPipeline
from convergence.config.sources import PipelineSource, SchemaSource
from convergence.domain.plan import Plan
from convergence.domain.query_cost import LIST_PRICE_TIB
from convergence.domain.rate import Buckets
from convergence.domain.run import Run
from convergence.domain.step import Step
from convergence.engine.decoded import Decoded
from convergence.engine.executions import Executions
from convergence.engine.fan_in import FanInTracker
from convergence.engine.turns import Turns
from convergence.errors import ConfigError, StepFailed
from convergence.ports.aws_accounts import AwsAccounts
from convergence.ports.bus import Bus
from convergence.ports.clock import Clock, Ids
from convergence.ports.documents import Documents, Index
from convergence.ports.google_accounts import Accounts
from convergence.ports.keyring import Keyring
from convergence.ports.object_store import ObjectStores
from convergence.ports.processor import Processor
from convergence.ports.warehouse import Warehouse
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import OrgStore

if TYPE_CHECKING:
    import httpx

INDEXES: Final = (
    Index("runs", ("check_at",), sharded=True),
    Index("runs", ("created_at",), sharded=True, descending=True),
    Index("runs", ("org", "created_at"), descending=True),
    Index("runs", ("org", "status", "created_at"), descending=True),
    Index("runs", ("org", "provider", "created_at"), descending=True),
    Index("runs", ("org", "provider", "status", "created_at"), descending=True),
    Index("runs", ("org", "pipeline", "created_at"), descending=True),
    Index("runs", ("queue.org", "queue.pool", "queue.rank")),
    Index("runs", ("queue.held_after",)),
    Index("runs", ("expire_at",), sharded=True),
    Index("schedules", ("due_at",), sharded=True),
    Index("schedules", ("org",)),
    Index("backfills", ("next_check_at",)),
    Index("backfills", ("org", "created_at"), descending=True),
    Index("backfills", ("org", "status")),
    Index("org_queues", ("ready", "virtual_start")),
    Index("org_queues", ("next_check_at",)),
    Index("org_queues", ("blocked_on", "virtual_start"), array="blocked_on"),
    Index("dead_letters", ("org", "created_at"), descending=True),
    Index("dead_letters", ("created_at",), descending=True),
    Index("dead_letters", ("run_id",)),
    Index("dead_letter_replays", ("next_check_at",)),
    Index("dead_letter_replays", ("org", "created_at"), descending=True),
    Index("dead_letter_replays", ("org", "status")),
    Index("webhook_deliveries", ("next_attempt_at",)),
    Index("webhook_deliveries", ("org", "created_at"), descending=True),
    Index("webhook_deliveries", ("org", "status", "created_at"), descending=True),
    Index("webhook_deliveries", ("org", "webhook_id", "created_at"), descending=True),
    Index("webhook_deliveries", ("org", "webhook_id", "status", "created_at"), descending=True),
    *(
        Index(name, ("expire_at",))
        for name in ("dead_letters", "backfills", "dead_letter_replays", "webhook_deliveries")
    ),
    Index("api_keys", ("org", "created_at")),
    Index("orgs", ("slug",)),
)
# Collections of large or busy documents, which are searched through the indexes above and no others.
UNINDEXED: Final = (
    "runs",
    "plan",
    "steps",
    "usage",
    "dead_letters",
    "once",
    "schedules",
    "org_queues",
    "caps",
    "backfills",
    "dead_letter_replays",
    "webhooks",
    "webhook_deliveries",
)
_PLANS_MAX: Final = 500
WEBHOOK_TESTS_PER_MINUTE: Final = 6  # of an org, in a process


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Times in seconds. The chain on Google Cloud: 480 (here) < 540 (function) < 600 (ack deadline)."""

    lease_s: float = 90.0
    renew_s: float = 30.0
    execution_max_s: float = 480.0
    check_every_s: float = 60.0
    crashes_max: int = 5  # of processes in which a step ran alone
    proven_after_s: float = 0.0  # a process that has been up so long is proven; a function's instance always is
    isolation_wait_s: float = 50.0  # for other steps of this process to end: what is left of 540 s after 480
    result_bytes_max: int = 65_536
    queue_timeout_s: float = 86_400.0  # a run that waits longer than this for its start fails
    runs_max: int | None = None  # active at once, over all orgs; None: no such cap
    cap_shard_places: int = 10  # in each document of a cap, which a start and an end of a run write
    query_usd_per_tib: Decimal = LIST_PRICE_TIB  # for estimates of what statements on BigQuery cost
    sole_process: bool = False  # embedded: owners of another boot are dead, because of the data directory's lock


class Execution(Protocol):
    """A step that this process executes."""

    def stop(self, reason: str) -> None:
        """Stop it early."""
        ...


class ProcessCache:
    """What one process may remember between deliveries. Losing it costs time, never correctness."""

    def __init__(self) -> None:
        self._plans: OrderedDict[tuple[str, int], Plan] = OrderedDict()
        self.fan_in = FanInTracker()
        self.executions = Executions()
        self.runs = Decoded(Run.from_data)
        self.steps = Decoded(Step.from_data)
        self.routines_synced = False
        self.routines_failed: set[str] = set()  # procedures whose file is wrong
        self.ticks = Turns()
        self.admissions = Turns()
        self.queues: set[str] = set()  # orgs that are known to have a queue
        self.webhook_hints: dict[str, datetime] = {}  # deliveries that were hinted at → until when not again
        self.webhooks_at_work: Counter[str] = Counter()  # webhook → attempts under way in this process
        self.webhook_tests = Buckets(WEBHOOK_TESTS_PER_MINUTE)  # by org
        self.webhook_outcomes: Counter[str] = Counter()  # delivered, failed, retried
        self.leases: dict[tuple[str, str], Execution] = {}  # executions in this process
        self.at_work: set[tuple[str, str]] = set()  # steps that it claimed and has not committed yet
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """Return the lock of this name (an org whose reservations take turns, say); it lives as long as it is used."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def plan(self, run_id: str, epoch: int) -> Plan | None:
        """Return a pinned plan read before; plans never change."""
        return self._plans.get((run_id, epoch))

    def remember(self, run_id: str, epoch: int, plan: Plan) -> None:
        """Keep a plan, dropping the oldest over the cap."""
        self._plans[run_id, epoch] = plan
        if len(self._plans) > _PLANS_MAX:
            self._plans.popitem(last=False)

    def forget(self, run: Run) -> None:
        """Drop what belongs to a run that ended."""
        self._plans.pop((run.run_id, run.plan_epoch), None)
        self.fan_in.forget(run)


def _no_notifications(_: str) -> Mapping[str, Any]:
    return {}


def _no_providers() -> Providers:
    return Providers(providers={})


def _no_objects(_: str, __: Callable[[], httpx.AsyncClient]) -> ObjectStores:
    raise StepFailed("this installation does not read files")


def _no_aws(_: str) -> AwsAccounts:
    raise StepFailed("this installation does not call AWS")


async def _no_trouble() -> str | None:
    return None


class Judged(NamedTuple):
    """What the statements of a pipeline's file have wrong, and what is doubtful about them."""

    problems: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()


async def _not_judged(_: LoadedPipeline) -> Judged:
    return Judged()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports and the thin repositories above them. `owner` names this boot of this process."""

    documents: Documents
    bus: Bus
    warehouse: Warehouse
    keyring: Keyring
    clock: Clock
    ids: Ids
    catalog: PipelineSource
    schemas: SchemaSource
    orgs: OrgStore
    credentials: CredentialStore
    processor: Callable[[str], Processor]
    http: Callable[[], httpx.AsyncClient]
    accounts: Callable[[], Accounts]  # made for each execution
    owner: str
    configs_dir: Path
    env: str = "dev"
    project_id: str = "local-dev-project"
    settings: EngineSettings = field(default_factory=EngineSettings)
    cache: ProcessCache = field(default_factory=ProcessCache)
    notifications: Callable[[str], Mapping[str, Any]] = (
        _no_notifications  # of an org: defaults for outcomes without an end step
    )
    providers: Callable[[], Providers] = _no_providers  # the merged registry
    # Places of files that an org's step may read, given the client of that step; made for each execution.
    objects: Callable[[str, Callable[[], httpx.AsyncClient]], ObjectStores] = _no_objects
    aws: Callable[[str], AwsAccounts] = _no_aws  # accounts at AWS of an org; made for each execution
    retention: Callable[[], Retention] = Retention
    # Judges the SQL of a file; only where its engine is the warehouse's own.
    statements: Callable[[LoadedPipeline], Awaitable[Judged]] = _not_judged
    trouble: Callable[[], Awaitable[str | None]] = _no_trouble  # the reason why nothing can be written now, if known
    # Called with the rows that processors report: (run_id, step_id, rows, total, note). For live displays.
    watch: Callable[[str, str, int, int | None, str], None] | None = None


def dataset_of(services: Services, org: str) -> str:
    """Return the org's dataset, `{org}_{env}`."""
    return f"{org}_{services.env}"
