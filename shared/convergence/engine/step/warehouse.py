"""The warehouse as one step sees it: its org only, its lineage always, each write at most once.

A zombie may write after it lost its lease, so every write is one job whose id is a hash of run, step, epoch and
target, and the warehouse answers a repeat with the first result (design: engine.md §6, Effects).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import orjson

from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.engine.routines import ensure_routines
from convergence.engine.services import Services
from convergence.ports.processor import StepStage
from convergence.ports.warehouse import (
    Lineage,
    Load,
    LoadResult,
    Parameter,
    QueryResult,
    Row,
    Scope,
    Stage,
    TableSchema,
    WriteMode,
)

if TYPE_CHECKING:
    from convergence.engine.step.lease import Lease


class LeasedStage:
    """This execution's stage for one table, behind those that its earlier slices left."""

    def __init__(self, own: Stage, earlier: Sequence[Stage], schema: TableSchema, lease: Lease) -> None:
        self._own = own
        self._earlier = earlier
        self._lease = lease
        self.schema = schema
        self.table = schema.name

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store a batch; refused once the lease is lost."""
        await self._lease.check()
        await self._own.write(part, rows)

    async def flush(self) -> None:
        """Return when what was staged survives a crash."""
        await self._own.flush()

    def all(self) -> list[Stage]:
        """Return the stages of all slices, in order."""
        return [*self._earlier, self._own]


class LeasedWarehouse:
    """`StepWarehouse` over the port."""

    def __init__(self, services: Services, run: Run, plan: Plan, planned: PlanStep, lease: Lease) -> None:
        self._services = services
        self._run = run
        self._plan = plan
        self._planned = planned
        self._lease = lease
        self._repeats: Counter[str] = Counter()
        self._stages: list[LeasedStage] = []
        self._execution = lease.held.step.moves  # renewals change the token, but move nothing
        self.dataset: str = plan.core["org_dataset"]

    async def ensure_table(self, table: str) -> None:
        """Create a table that has a schema file."""
        await self._lease.check()
        await self._services.warehouse.ensure_table(self.dataset, self._services.schemas.get(table))

    def stage(self, table: str) -> StepStage:
        """Return this execution's stage for a table that has a schema file."""
        schema, warehouse = self._services.schemas.get(table), self._services.warehouse
        name = self._job_id("stage", table)
        own, *earlier = (
            warehouse.stage(self.dataset, schema, f"{name}_{execution}")
            for execution in (self._execution, *self._lease.held.step.stages)
        )
        staged = LeasedStage(own, earlier, schema, self._lease)
        self._stages.append(staged)
        return staged

    async def flush(self) -> None:
        """Return when all that this execution staged survives a crash."""
        for stage in self._stages:
            await stage.flush()

    async def load(
        self,
        stage: StepStage,
        *,
        dates: Sequence[date] | None,
        date_field: str | None = None,
        mode: WriteMode = WriteMode.OVERWRITE,
        key_fields: Sequence[str] = (),
    ) -> LoadResult:
        """Make the staged rows visible."""
        assert isinstance(stage, LeasedStage), "load takes what stage() returned"
        await self._lease.check()
        await self._services.warehouse.ensure_table(self.dataset, stage.schema)
        load = Load(
            job_id=self._write_id("load", stage.table, mode, *(() if dates is None else dates)),
            dataset=self.dataset,
            table=stage.schema,
            lineage=self._lineage(),
            dates=None if dates is None else tuple(dates),
            date_field=date_field,
            mode=mode,
            key_fields=tuple(key_fields),
        )
        return await self._services.warehouse.load(load, *stage.all())

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
    ) -> QueryResult:
        """Read from the org's dataset, or change it under a job id; with `wait_s` a read is such a job too."""
        scope, job_id = Scope(dataset=self.dataset, writable=write, lineage=self._lineage()), None
        if write:
            await self._lease.check()
        if write or wait_s is not None:
            values = sorted(f"{name}={parameter.value}" for name, parameter in (parameters or {}).items())
            job_id = self._write_id("query", sql, *values)
        return await self._services.warehouse.query(
            sql,
            parameters,
            scope=scope,
            job_id=job_id,
            rows_max=rows_max,
            bytes_max=bytes_max,
            dry_run=dry_run,
            wait_s=wait_s,
        )

    async def call(
        self, procedure: str, arguments: Mapping[str, Parameter], *, wait_s: float | None = None
    ) -> QueryResult:
        """Call a stored procedure on the org's dataset."""
        await self._lease.check()
        await ensure_routines(self._services)
        scope = Scope(dataset=self.dataset, writable=True, lineage=self._lineage())
        job_id = self._write_id("call", procedure, *(f"{name}={value.value}" for name, value in arguments.items()))
        return await self._services.warehouse.call(procedure, arguments, scope=scope, job_id=job_id, wait_s=wait_s)

    def _write_id(self, kind: str, *target: object) -> str:
        """Return the id of a write: its target, in this slice of the step's work, for the n-th time."""
        name = "/".join(map(str, target))
        self._repeats[name] += 1
        work = orjson.dumps(self._lease.held.step.checkpoint).decode()
        return self._job_id(kind, f"{name}/{self._repeats[name]}/{work}")

    def _job_id(self, kind: str, target: str) -> str:
        run = self._run
        name = f"{run.run_id}/{self._planned.step_id}/{run.epoch}/{target}"
        return f"{kind}_{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"

    def _lineage(self) -> Lineage:
        run = self._run
        return Lineage(
            org_slug=run.org,
            pipeline_id=self._plan.pipeline_id,
            credential_id=run.credential_id,
            run_id=run.run_id,
            ingested_at=self._services.clock.now(),
        )
