"""A step's surroundings for tests: the real local warehouse, real HTTP, a clock that only moves when asked to wait."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from convergence.adapters.aws.accounts import BotoAccounts
from convergence.adapters.google_accounts.tokens import ServiceTokens
from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.objects.stores import Stores
from convergence.config.files.procedures import load_procedures
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey
from convergence.domain.invoices import Invoice
from convergence.engine.step.redact import Redactor
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import (
    SHARED_DATASET,
    Column,
    Lineage,
    Load,
    LoadResult,
    Parameter,
    ProcedureCall,
    QueryResult,
    RowFile,
    Scope,
    Stage,
    StagedFile,
    Statement,
    TableSchema,
    TableSnapshots,
    Warehouse,
    WriteMode,
)

CONFIGS = Path(__file__).parents[3] / "configs"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
FIRST, LAST = date(2026, 11, 10), date(2026, 11, 19)


class ManualClock:
    """Time that passes only while a caller waits; `waits` are the seconds asked for."""

    def __init__(self) -> None:
        self.at = NOW
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)


class WorldStage:
    def __init__(self, stage: Stage, schema: TableSchema) -> None:
        self.stage, self.schema, self.table = stage, schema, schema.name

    async def write(self, part: int, rows: Sequence[Mapping[str, Any]]) -> None:
        await self.stage.write(part, rows)

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        return await self.stage.write_file(part, file)

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        return await self.stage.file_columns(file)

    async def flush(self) -> None:
        await self.stage.flush()


class WorldWarehouse:
    """`StepWarehouse` of one run; every load and call is a job of its own."""

    dataset = "acme_test"

    def __init__(self, warehouse: Warehouse | None, context: WorldContext) -> None:
        self._tables, self._context = warehouse, context
        self.schemas = TableSchemas(context.configs_dir)
        self._jobs = 0
        self._stages: dict[str, str] = {}

    @property
    def _warehouse(self) -> Warehouse:
        assert self._tables is not None, "this step was given no tables"
        return self._tables

    def schema(self, table: str) -> TableSchema | None:
        return self.schemas.get(table) if table in self.schemas.paths else None

    async def columns(self, table: str) -> tuple[Column, ...]:
        return await self._warehouse.columns(self.dataset, table)

    async def ensure_table(self, table: str | TableSchema) -> None:
        await self._warehouse.ensure_table(self.dataset, self._described(table))

    def stage(self, table: str | TableSchema) -> WorldStage:
        schema = self._described(table)
        name = self._stages.setdefault(schema.name, self._job())
        return WorldStage(self._warehouse.stage(self.dataset, schema, name), schema)

    def _described(self, table: str | TableSchema) -> TableSchema:
        return self.schemas.get(table) if isinstance(table, str) else table

    async def load(
        self,
        stage: Any,
        *,
        dates: Sequence[date] | None,
        date_field: str | None = None,
        mode: WriteMode = WriteMode.OVERWRITE,
        key_fields: Sequence[str] = (),
        repeatable: bool = False,
        source: Mapping[str, str] | None = None,
    ) -> LoadResult:
        load = Load(
            job_id=self._job(),
            dataset=self.dataset,
            table=stage.schema,
            lineage=self._lineage(),
            dates=None if dates is None else tuple(dates),
            date_field=date_field,
            mode=mode,
            key_fields=tuple(key_fields),
            source=source or {},
        )
        return await self._warehouse.load(load, stage.stage)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        write: bool = False,
        repeatable: bool = False,
        **options: Any,
    ) -> QueryResult:
        scope = Scope(dataset=self.dataset, writable=write, lineage=self._lineage() if write else None)
        job_id = self._job() if write or options.get("wait_s") is not None else None
        return await self._warehouse.query(Statement(sql, parameters or {}, scope=scope, job_id=job_id, **options))

    async def call(
        self,
        procedure: str,
        arguments: Mapping[str, Parameter],
        *,
        wait_s: float | None = None,
        repeatable: bool = False,
    ) -> QueryResult:
        scope = Scope(dataset=self.dataset, writable=True, lineage=self._lineage())
        await self._warehouse.ensure_table(SHARED_DATASET, TableSchemas(CONFIGS).get("org_hierarchy"))
        return await self._warehouse.call(
            ProcedureCall(procedure, arguments, scope=scope, job_id=self._job(), wait_s=wait_s)
        )

    async def snapshot(self, tables: Sequence[str], *, suffix: str, until: datetime) -> Sequence[str] | None:
        if not isinstance(self._warehouse, TableSnapshots):
            return None
        return await self._warehouse.snapshot(Scope(dataset=self.dataset), tables, suffix=suffix, until=until)

    async def sync_routines(self, *names: str) -> None:
        """Store shipped procedures, by name."""
        await self._warehouse.sync_routines([each for each in load_procedures(CONFIGS) if each.name in names])

    def _job(self) -> str:
        self._jobs += 1
        return f"job_{self._context.run_id}_{self._jobs}"

    def _lineage(self) -> Lineage:
        context = self._context
        return Lineage(
            org_slug=context.org_slug,
            pipeline_id=context.pipeline_id,
            credential_id=context.credential_id,
            run_id=context.run_id,
            ingested_at=context.now(),
        )


class Vault:
    """Secrets and credentials in memory."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = dict(secrets)
        self.stored: dict[tuple[str, str], str] = {}
        self.marks: list[tuple[str, bool, str]] = []
        self.redact = Redactor()

    async def open(self, name: str) -> str:
        if name not in self.secrets:
            raise StepFailed(f"there is no secret {name!r}")
        self.mask(self.secrets[name])
        return self.secrets[name]

    def mask(self, text: str) -> None:
        self.redact.add(text)

    async def store(self, provider: str, plaintext: str, *, name: str = "default") -> str:
        self.stored[provider, name] = plaintext
        return f"cred_{provider}_{name}"

    async def credential_id(self, provider: str) -> str:
        return f"cred_{provider}" if provider in self.secrets else ""

    async def status(self, provider: str) -> str:
        words = {name: "valid" if valid else "invalid" for name, valid, _ in self.marks}
        return words.get(provider, "stored" if provider in self.secrets else "missing")

    async def mark(self, provider: str, *, valid: bool, reason: str = "") -> None:
        self.marks.append((provider, valid, reason))


class WorldContext(Context):
    """One step of one run of `acme`, with HTTP and tables where given.

    `fields` replace any attribute; `credentials` and `warehouse` too.
    """

    def __init__(
        self, client: httpx.AsyncClient | None, tables: Warehouse | None, clock: ManualClock, **fields: Any
    ) -> None:
        self._client, self.clock = client, clock
        self.org_slug, self.run_id, self.step_id = "acme", "run_1", "step_1"
        self.pipeline_id, self.provider, self.credential_id = "acme-openai-cost-usage-cost", "openai", "cred_1"
        self.start_date, self.end_date, self.attempt = FIRST, LAST, 1
        self.started_at = clock.now()
        self.parameters, self.variables, self.results, self.checkpoint = {}, {}, {}, None
        self.deadline = clock.now() + timedelta(minutes=8)
        self.configs_dir = CONFIGS
        self.vault = Vault({"openai": "sk-admin-sandbox"})
        self.rows_seen = 0
        self.closed: Sequence[PeriodKey] = ()  # billing periods
        self.recorded: Sequence[Invoice] = ()
        self.files: Path | None = None  # the folder of uploaded files
        own = {name: fields.pop(name) for name in ("credentials", "warehouse") if name in fields}
        for name, value in {"secrets": self.vault, **fields}.items():
            setattr(self, name, value)
        self._credentials = own.get("credentials", self.vault)
        self._warehouse = own.get("warehouse") or WorldWarehouse(tables, self)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        return logging.LoggerAdapter(logging.getLogger("tests"))

    async def of_provider(self, provider: str) -> Context:
        return self

    @property
    def warehouse(self) -> Any:
        return self._warehouse

    @property
    def credentials(self) -> Any:
        return self._credentials

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(("org_slug", "run_id"))

    def __len__(self) -> int:
        return 2

    @property
    def accounts(self) -> RestAccounts:
        return RestAccounts(lambda: self.http, self.clock, RandomIds())

    async def billing_periods(self) -> Sequence[BillingPeriod]:
        change = Change(status="Closed", at=self.now(), actor="test")
        return [BillingPeriod.new(key, change) for key in self.closed]

    async def invoices(self) -> Sequence[Invoice]:
        return self.recorded

    @property
    def objects(self) -> Stores:
        tokens = ServiceTokens(lambda: self.http, self.clock, RandomIds())
        return Stores(
            org=self.org_slug,
            http=lambda: self.http,
            clock=self.clock,
            files=self.files,
            endpoint=lambda _: "",
            google_token=lambda secret: tokens.of_secret(secret, (), here=True),
        )

    @cached_property
    def aws(self) -> BotoAccounts:
        return BotoAccounts(org=self.org_slug, endpoint="", here=True)

    @property
    def http(self) -> httpx.AsyncClient:
        assert self._client is not None, "this step was given no HTTP client"
        return self._client

    def redact(self, value: Any) -> Any:
        return self.vault.redact(value)

    def now(self) -> datetime:
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    def fraction(self) -> float:
        return 0.5

    def idempotency_key(self, number: int = 1) -> str:
        return f"{self.run_id}/{self.step_id}/{number}"

    def progress(self, *, rows: int, total: int | None = None, note: str = "") -> None:
        self.rows_seen = rows

    def read_config(self, path: str) -> bytes:
        return (self.configs_dir / path).read_bytes()
