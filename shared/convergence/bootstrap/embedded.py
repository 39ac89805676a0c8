"""An installation on one machine: SQLite, DuckDB, a key file, a bus in the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from convergence.bootstrap.aws import aws_accounts
from convergence.bootstrap.http_client import HttpClient
from convergence.bootstrap.objects import object_stores
from convergence.bootstrap.statements import StatementChecks
from convergence.config.catalog import Catalog
from convergence.config.files.notifications import NotificationsFile
from convergence.config.files.providers import ProviderRegistry
from convergence.config.files.retention import RetentionFile
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors.ps_types import load
from convergence.config.settings.environments import SHORT
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.errors import Denied
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import OrgStore
from convergence.tenants.webhooks import any_webhook_of

if TYPE_CHECKING:
    from convergence.adapters.local.bus import LocalBus
    from convergence.adapters.local.documents.adapter import SqliteDocuments
    from convergence.adapters.local.log_sink import LogSink
    from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
    from convergence.entry.cli.installation import Watch
    from convergence.ports.clock import Clock, Ids
    from convergence.ports.google_accounts import Accounts
    from convergence.ports.processor import Processor
    from convergence.worker import LocalWorker

PROJECT = "local-dev-project"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedOptions:
    """Where an embedded installation lives. `synchronous` FULL survives a power cut, NORMAL a killed process."""

    data_dir: Path = Path(".convergence")
    configs_dir: Path = Path("configs")
    env: str = "dev"
    project_id: str = PROJECT
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    steps_max: int = 256  # they wait for others most of the time
    processor: Callable[[str], Processor] | None = None  # other processors than the installed ones, for benches
    runs_max: int | None = None  # active at once, over all orgs; None: no such cap
    schedules: bool = False  # fire those that are due; for a long-running process
    watch: Watch | None = None  # called with the rows that steps report


@dataclass(frozen=True, slots=True)
class Embedded:
    """An open installation that may write: services, and the worker that drives runs."""

    services: Services
    worker: LocalWorker
    warehouse: DuckDbWarehouse
    log: LogSink
    documents: SqliteDocuments
    bus: LocalBus


@asynccontextmanager
async def embedded(options: EmbeddedOptions, purpose: str) -> AsyncIterator[Embedded]:
    """Open an installation as its writer. Runs left unfinished by an earlier process wait for `worker.start`.

    Raises:
        StorageLocked: another process writes to the data directory; the message names it.
        StorageUnusable: the data directory cannot be written.
        ConfigError: the key file is missing, and credentials are stored.
    """
    from convergence.adapters.local.bus import LocalBus
    from convergence.adapters.local.clock import RandomIds, SystemClock
    from convergence.adapters.local.data_directory import DataDirectory
    from convergence.adapters.local.documents.adapter import SqliteDocuments
    from convergence.adapters.local.keyring.adapter import FileKeyring, missing
    from convergence.adapters.local.log_sink import LogSink
    from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
    from convergence.ports.bus import AUDIT_EVENTS, RUN_EVENTS
    from convergence.worker import LocalWorker

    directory = DataDirectory(options.data_dir)
    directory.lock(purpose)
    # Closed in reverse order, each even if another one failed: a log that cannot be written must not keep the lock.
    async with AsyncExitStack() as closing:
        closing.callback(directory.unlock)
        registry = ProviderRegistry(options.configs_dir)
        clock, ids, bus = SystemClock(), RandomIds(), LocalBus()
        documents = SqliteDocuments(directory.documents, clock, indexes=INDEXES, synchronous=options.synchronous)
        warehouse = DuckDbWarehouse(directory.warehouse / "warehouse.duckdb", clock=clock, project=options.project_id)
        closing.callback(documents.close)
        closing.callback(warehouse.close)
        keyring, schemas, http = FileKeyring(directory.key), TableSchemas(options.configs_dir), HttpClient(options.env)
        closing.push_async_callback(http.close)
        orgs, credentials = OrgStore(documents), CredentialStore(documents, keyring, clock)
        if not directory.key.exists():
            slugs = await orgs.slugs()
            if await credentials.any_of(slugs) or await any_webhook_of(documents, slugs):
                raise missing(directory.key)
        if warehouse.session.has_journal:  # after a process died: damage is found here, once, instead of by every run
            await warehouse.session.look()
        log = LogSink(
            warehouse,
            runs=schemas.get("org_meta_pipeline_runs"),
            steps=schemas.get("org_meta_step_logs"),
            audit=schemas.get("org_audit_logs"),
            dataset_of=lambda org: f"{org}_{options.env}",
            clock=clock,
        )

        async def trouble() -> str | None:
            return await documents.trouble() or await warehouse.session.trouble() or log.trouble

        services = Services(
            documents=documents,
            bus=bus,
            warehouse=warehouse,
            trouble=trouble,
            keyring=keyring,
            clock=clock,
            ids=ids,
            catalog=Catalog(options.configs_dir),
            schemas=schemas,
            orgs=orgs,
            credentials=credentials,
            processor=load if options.processor is None else options.processor,
            http=http.client,
            accounts=lambda: _accounts(http, clock, ids, options.env),
            objects=lambda org, client: object_stores(
                org,
                client,
                clock=clock,
                ids=ids,
                files=directory.files,
                registry=registry,
                here=options.env != SHORT["production"],
            ),
            aws=lambda org: aws_accounts(org, registry=registry, here=options.env != SHORT["production"]),
            owner=ids.new("boot"),
            configs_dir=options.configs_dir,
            env=options.env,
            project_id=options.project_id,
            # No function budget here: only a step's own timeout limits it.
            settings=EngineSettings(
                sole_process=True,
                execution_max_s=7 * 86_400.0,
                proven_after_s=30.0,
                isolation_wait_s=7 * 86_400.0,
                runs_max=options.runs_max,
            ),
            watch=options.watch,
            notifications=NotificationsFile(options.configs_dir).settings,
            providers=registry.get,
            retention=RetentionFile(options.configs_dir).get,
            statements=StatementChecks(options.project_id, schemas, options.configs_dir),
        )
        closing.push_async_callback(log.close)
        bus.tap(RUN_EVENTS, log.accept)
        bus.tap(AUDIT_EVENTS, log.accept)
        worker = LocalWorker(
            services, bus, steps_max=options.steps_max, sweep=warehouse.drop_stages, schedules=options.schedules
        )
        closing.push_async_callback(worker.close)
        yield Embedded(services, worker, warehouse, log, documents, bus)


@contextmanager
def reading(options: EmbeddedOptions) -> Iterator[Services]:
    """Open an installation for reading, next to a writer, without creating files; a missing one counts as empty."""
    from convergence.adapters.local.bus import LocalBus
    from convergence.adapters.local.clock import RandomIds, SystemClock
    from convergence.adapters.local.data_directory import DataDirectory
    from convergence.adapters.local.documents.adapter import SqliteDocuments
    from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse

    directory, clock, keyring = DataDirectory(options.data_dir), SystemClock(), _NoKeyring()
    http = HttpClient(options.env)
    there = directory.documents.exists()
    schemas = TableSchemas(options.configs_dir)
    documents = SqliteDocuments(directory.documents if there else ":memory:", clock, indexes=INDEXES, read_only=there)
    try:
        yield Services(
            documents=documents,
            bus=LocalBus(),
            warehouse=DuckDbWarehouse(
                directory.warehouse / "warehouse.duckdb", clock=clock, project=options.project_id
            ),
            keyring=keyring,
            clock=clock,
            ids=RandomIds(),
            catalog=Catalog(options.configs_dir),
            schemas=schemas,
            orgs=OrgStore(documents),
            credentials=CredentialStore(documents, keyring, clock),
            processor=load,
            http=http.client,
            accounts=lambda: _accounts(http, clock, RandomIds(), options.env),
            owner="reader",
            configs_dir=options.configs_dir,
            env=options.env,
            project_id=options.project_id,
            retention=RetentionFile(options.configs_dir).get,
            statements=StatementChecks(options.project_id, schemas, options.configs_dir),
        )
    finally:
        documents.close()


def _accounts(http: HttpClient, clock: Clock, ids: Ids, env: str) -> Accounts:
    from convergence.adapters.local.google_accounts.adapter import RestAccounts

    return RestAccounts(http.client, clock, ids, here=env != SHORT["production"])


class _NoKeyring:
    """A reader neither seals nor opens secrets, and does not create a key file."""

    async def encrypt(self, plaintext: bytes, aad: str) -> str:  # noqa: ARG002 - the port's signature
        return "not sealed: nothing is stored"

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:  # noqa: ARG002 - the port's signature
        raise Denied("secrets are opened by steps only")

    def version(self, ciphertext: str) -> str:  # noqa: ARG002 - the port's signature
        raise Denied("secrets are looked at by steps only")

    async def stale(self, ciphertext: str) -> bool:  # noqa: ARG002 - the port's signature
        return False
