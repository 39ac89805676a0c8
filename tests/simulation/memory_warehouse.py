"""A warehouse of dictionaries: slices, stages and the job ledger, as the port promises them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Never, TypeVar

from convergence.errors import AppliedBefore, LeaseLost
from convergence.ports.warehouse import (
    Effect,
    Load,
    LoadResult,
    Parameter,
    ProcedureCall,
    QueryResult,
    Row,
    RowFile,
    Stage,
    Statement,
    TableSchema,
    WriteMode,
)
from tests.simulation.partial_warehouse import PartialWarehouse

Answer = TypeVar("Answer", LoadResult, QueryResult)
AT = datetime(2026, 3, 1, tzinfo=UTC)


class MemoryStage:
    """Parts by number."""

    def __init__(self, parts: dict[int, list[Row]]) -> None:
        self.parts = parts

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        self.parts[part] = list(rows)

    async def write_file(self, part: int, file: RowFile) -> Never:
        raise AssertionError("no simulated step reads files")

    async def file_columns(self, file: RowFile) -> Never:
        raise AssertionError("no simulated step reads files")

    async def flush(self) -> None:
        return

    async def discard(self, from_part: int = 0) -> None:
        for part in [part for part in self.parts if part >= from_part]:
            del self.parts[part]


class MemoryWarehouse(PartialWarehouse):
    """Rows by dataset, table and slice. Only what a simulated step uses: a statement is the name of a table, to which
    it adds its parameters as a row; so is a procedure."""

    def __init__(self) -> None:
        self.slices: dict[tuple[Any, ...], list[Row]] = {}
        self._stages: dict[tuple[str, str], dict[int, list[Row]]] = {}
        self.jobs: dict[str, tuple[Any, str]] = {}  # answer (None: revoked) and fingerprint

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        return

    def stage(self, dataset: str, table: TableSchema, name: str) -> MemoryStage:
        return MemoryStage(self._stages.setdefault((dataset, name), {}))

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        memory = [stage for stage in stages if isinstance(stage, MemoryStage)]
        assert len(memory) == len(stages), "a stage of another warehouse"

        def work() -> LoadResult:
            assert load.dataset.startswith(load.lineage.org_slug), "a row of one org in another's dataset"
            rows = [row for stage in memory for part in sorted(stage.parts) for row in stage.parts[part]]
            lineage = load.lineage
            key = (load.dataset, load.table.name, lineage.pipeline_id, lineage.credential_id, load.dates)
            before = self.slices.get(key, [])
            kept: list[Row] = []
            if load.mode is WriteMode.APPEND:
                kept = before
            elif load.mode is WriteMode.MERGE:
                new = {tuple(row[name] for name in load.key_fields) for row in rows}
                kept = [row for row in before if tuple(row[name] for name in load.key_fields) not in new]
            self.slices[key] = [*kept, *rows]
            return LoadResult(len(rows), len(before) - len(kept))

        result, known = self._once(load.job_id, load.fingerprint, work)
        for stage in stages:
            await stage.discard()
        return LoadResult(result.rows_loaded, result.rows_removed, repeated=known)

    async def query(self, statement: Statement) -> QueryResult:
        return self._insert(statement.sql, statement.parameters, statement)

    async def call(self, call: ProcedureCall) -> QueryResult:
        return self._insert(call.procedure, call.arguments, call)

    def _insert(self, table: str, values: Mapping[str, Parameter], asked: Statement | ProcedureCall) -> QueryResult:
        def work() -> QueryResult:
            lineage = asked.scope.lineage
            assert lineage is not None
            key = (asked.scope.dataset, table, lineage.pipeline_id, lineage.credential_id, None)
            row = {name: parameter.value for name, parameter in values.items()}
            self.slices[key] = [*self.slices.get(key, []), row]
            return QueryResult(rows_affected=1)

        assert asked.job_id is not None
        return self._once(asked.job_id, asked.fingerprint, work)[0]

    async def close_job(self, job_id: str, *, scope: Any, wait_s: float | None = None) -> Effect | None:
        answer, fingerprint = self.jobs.setdefault(job_id, (None, ""))
        if answer is None:
            return None
        return Effect(fingerprint, AT, answer.rows_loaded if isinstance(answer, LoadResult) else answer.rows_affected)

    def _once(self, job_id: str, fingerprint: str, work: Callable[[], Answer]) -> tuple[Answer, bool]:
        if job_id not in self.jobs:
            self.jobs[job_id] = (work(), fingerprint)
            return self.jobs[job_id][0], False
        answer, known = self.jobs[job_id]
        if answer is None:
            raise LeaseLost(f"job {job_id} was revoked")
        if known != fingerprint:
            raise AppliedBefore(f"job {job_id} took effect")
        return answer, True
