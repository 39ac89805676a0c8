"""The warehouse as one step sees it: its org only, its lineage always, each write at most once.

A zombie may write after it lost its lease, so every write is one job under an id of its own, and the warehouse answers
a repeat with the first result (`effects`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import orjson

from convergence.config.files.procedures import load_procedures
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.step.central import mirror
from convergence.engine.step.effects import Effects, Intent, job_id
from convergence.engine.step.inputs import digest
from convergence.engine.step.routines import ensure_routines
from convergence.engine.step.stage import LeasedStage
from convergence.errors import NotFound
from convergence.ports.step.warehouse import StepStage
from convergence.ports.warehouse import (
    SHARED_DATASET,
    Column,
    Lineage,
    Load,
    LoadResult,
    Parameter,
    ProcedureCall,
    QueryResult,
    Scope,
    Statement,
    TableSchema,
    TableSnapshots,
    WriteMode,
)

if TYPE_CHECKING:
    from convergence.engine.step.lease import Lease


class LeasedWarehouse:
    """`StepWarehouse` over the port."""

    def __init__(self, services: Services, run: Run, plan: Plan, planned: PlanStep, lease: Lease) -> None:
        self._services = services
        self._run = run
        self._plan = plan
        self._planned = planned
        self._lease = lease
        self._effects = Effects(services, run, planned, lease)
        self._reads: Counter[str] = Counter()
        self._stages: list[LeasedStage] = []
        self._execution = lease.held.step.moves  # renewals change the token, but move nothing
        self.dataset: str = plan.core["org_dataset"]

    def of_run(self, run: Run) -> LeasedWarehouse:
        """Return the same warehouse, with the writes that were counted, for a run that has another credential."""
        other = copy(self)
        other._run = run  # noqa: SLF001 - of this class
        return other

    def schema(self, table: str) -> TableSchema | None:
        """Return the schema of a table's file, None without one."""
        try:
            return self._services.schemas.get(table)
        except NotFound:
            return None

    async def columns(self, table: str) -> tuple[Column, ...]:
        """Return the columns that the table has."""
        return await self._services.warehouse.columns(self.dataset, table)

    async def ensure_table(self, table: str | TableSchema) -> None:
        """Create a table, or add its new columns."""
        await self._lease.check()
        await self._services.warehouse.ensure_table(self.dataset, self._described(table))

    def stage(self, table: str | TableSchema) -> StepStage:
        """Return this execution's stage for a table."""
        schema, warehouse = self._described(table), self._services.warehouse
        name = self._job_id("stage", schema.name)
        own, *earlier = (
            warehouse.stage(self.dataset, schema, f"{name}_{execution}")
            for execution in (self._execution, *self._lease.held.step.stages)
        )
        staged = LeasedStage(own, earlier, schema, self._lease)
        self._stages.append(staged)
        return staged

    def _described(self, table: str | TableSchema) -> TableSchema:
        return self._services.schemas.get(table) if isinstance(table, str) else table

    async def flush(self) -> None:
        """Return when all that this execution staged survives a crash."""
        for stage in self._stages:
            await stage.flush()

    @property
    def writes(self) -> Mapping[str, int]:
        """How often each write was made in this epoch."""
        return self._effects.counts

    async def load(
        self,
        stage: StepStage,
        *,
        dates: Sequence[date] | None,
        date_field: str | None = None,
        mode: WriteMode = WriteMode.OVERWRITE,
        key_fields: Sequence[str] = (),
        repeatable: bool = False,
        source: Mapping[str, str] | None = None,
    ) -> LoadResult:
        """Make the staged rows visible."""
        assert isinstance(stage, LeasedStage), "load takes what stage() returned"
        warehouse, scope = self._services.warehouse, self._scope(write=True)
        await self._lease.check()
        await warehouse.ensure_table(self.dataset, stage.schema)
        load = Load(
            job_id="",
            dataset=self.dataset,
            table=stage.schema,
            lineage=self._lineage(),
            dates=None if dates is None else tuple(dates),
            date_field=date_field,
            mode=mode,
            key_fields=tuple(key_fields),
            source=source or {},
        )

        async def send(job_id: str, fingerprint: str) -> LoadResult:
            self._lease.loading = True
            try:
                return await warehouse.load(replace(load, job_id=job_id, fingerprint=fingerprint), *stage.all())
            finally:
                self._lease.loading = False

        return await self._effects.once(load_intent(load, repeatable=repeatable), send, scope=scope)

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        rows_max: int = 10_000,
        bytes_max: int | None = None,
        dry_run: bool = False,
        write: bool = False,
        wait_s: float | None = None,
        repeatable: bool = False,
    ) -> QueryResult:
        """Read from the org's dataset, or change it under a job id; with `wait_s` a read is such a job too."""
        scope, values = self._scope(write=write), _values(parameters or {}, in_order=False)
        if SHARED_DATASET in sql:
            await mirror(self._services, self._run.org, [sql])

        async def send(job_id: str | None, fingerprint: str) -> QueryResult:
            return await self._services.warehouse.query(
                Statement(
                    sql,
                    parameters or {},
                    scope=scope,
                    job_id=job_id,
                    rows_max=rows_max,
                    bytes_max=bytes_max,
                    dry_run=dry_run,
                    wait_s=wait_s,
                    timeout_s=self._lease.limit_s,
                    fingerprint=fingerprint,
                )
            )

        if write and not dry_run:
            older = "/".join((sql, *values))
            intent = Intent(kind="query", name="query", what=sql, repeatable=repeatable, older=older)
            return await self._effects.once(intent, send, scope=scope, wait_s=wait_s)
        return await send(self._read_id(sql, *values) if wait_s is not None else None, "")

    async def call(
        self,
        procedure: str,
        arguments: Mapping[str, Parameter],
        *,
        wait_s: float | None = None,
        repeatable: bool = False,
    ) -> QueryResult:
        """Call a stored procedure on the org's dataset."""
        await self._lease.check()
        await ensure_routines(self._services, procedure)
        await mirror(self._services, self._run.org, self._texts(procedure, arguments))
        scope = self._scope(write=True)

        async def send(job_id: str, fingerprint: str) -> QueryResult:
            return await self._services.warehouse.call(
                ProcedureCall(
                    procedure,
                    arguments,
                    scope=scope,
                    job_id=job_id,
                    wait_s=wait_s,
                    timeout_s=self._lease.limit_s,
                    fingerprint=fingerprint,
                    repeatable=repeatable,
                )
            )

        older = "/".join((procedure, *_values(arguments, in_order=True)))
        intent = Intent(kind="call", name="call", what=procedure, repeatable=repeatable, older=older)
        return await self._effects.once(intent, send, scope=scope, wait_s=wait_s)

    async def snapshot(self, tables: Sequence[str], *, suffix: str, until: datetime) -> Sequence[str] | None:
        """Keep tables as they are now; None where the warehouse has no snapshots. See `TableSnapshots`."""
        await self._lease.check()
        warehouse = self._services.warehouse
        if not isinstance(warehouse, TableSnapshots):
            return None
        return await warehouse.snapshot(self._scope(write=True), tables, suffix=suffix, until=until)

    def _texts(self, procedure: str, arguments: Mapping[str, Parameter]) -> list[str]:
        """Return what a call may run: the procedure's file, those that it may call, and the arguments."""
        files = {each.name: each.definition for each in load_procedures(self._services.configs_dir)}
        own = files.get(procedure, "")
        called = files.values() if "CALL" in own.upper() else ()
        return [own, *called, *(str(argument.value) for argument in arguments.values())]

    def _read_id(self, *target: str) -> str:
        """Return the id of a read that is waited for: its text, in this slice of the step's work, for the n-th time."""
        name = "/".join(target)
        self._reads[name] += 1
        work = orjson.dumps(self._lease.held.step.checkpoint).decode()
        return self._job_id("query", f"{name}/{self._reads[name]}/{work}")

    def _job_id(self, kind: str, name: str) -> str:
        return job_id(self._run, self._planned, kind, self._run.epoch, name)

    def _scope(self, *, write: bool) -> Scope:
        return Scope(dataset=self.dataset, writable=write, lineage=self._lineage())

    def _lineage(self) -> Lineage:
        run = self._run
        return Lineage(
            org_slug=run.org,
            pipeline_id=self._plan.pipeline_id,
            credential_id=run.credential_id,
            run_id=run.run_id,
            ingested_at=self._services.clock.now(),
        )


def load_intent(load: Load, *, repeatable: bool) -> Intent:
    """Return the intent of a load. A slice that is replaced is the same write wherever it comes in the step's work;
    appended rows are only distinguished by their number."""
    table, dates = load.table.name, load.dates or ()
    older = "/".join(map(str, (table, load.mode, *dates)))
    if load.mode is WriteMode.APPEND:
        return Intent(kind="append", name="append", what=table, repeatable=repeatable, older=older)
    name = f"load {digest(older.encode())}"
    return Intent(kind="load", name=name, what=table, repeatable=True, older=older)


def _values(parameters: Mapping[str, Parameter], *, in_order: bool) -> list[str]:
    values = [f"{name}={parameter.value}" for name, parameter in parameters.items()]
    return values if in_order else sorted(values)
