"""The port `Warehouse` on BigQuery: jobs under known ids, transactions, GoogleSQL as it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.append import Appends
from convergence.adapters.gcp.warehouse.call import Calls
from convergence.adapters.gcp.warehouse.client import Client
from convergence.adapters.gcp.warehouse.closing import Closing
from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs, SettingsOf
from convergence.adapters.gcp.warehouse.ledger import Ledger
from convergence.adapters.gcp.warehouse.load import Loads
from convergence.adapters.gcp.warehouse.migrations import Migrations
from convergence.adapters.gcp.warehouse.query import Queries
from convergence.adapters.gcp.warehouse.routines import Routines
from convergence.adapters.gcp.warehouse.snapshots import Snapshots
from convergence.adapters.gcp.warehouse.stage import BigQueryStage
from convergence.adapters.gcp.warehouse.statements import Statements
from convergence.adapters.gcp.warehouse.tables import Kept, Tables
from convergence.adapters.warehouse_checks import check_ids, check_load, check_wait
from convergence.ports.clock import Clock, Ids
from convergence.ports.warehouse import (
    Column,
    Effect,
    Load,
    LoadResult,
    ProcedureCall,
    QueryResult,
    Routine,
    Row,
    Scope,
    Stage,
    Statement,
    TableSchema,
)

if TYPE_CHECKING:
    from google.auth.credentials import Credentials


class BigQueryWarehouse:
    """Tables in the datasets of one project and location.

    Nothing is imported from Google and no request is sent before the first call. `credentials` are those of the
    process unless given, so a customer's own make a reader of the customer's project. With an `endpoint`
    (`host:port` of a stand-in, plain HTTP) none are used. `labels` go on every job, dataset and table, besides org,
    pipeline and run of what caused a job. `settings` say where and how the
    statements of an org's runs are executed; without them all run in `project`, BigQuery's default. `kept`
    says after how long the partitions of a table expire.
    """

    def __init__(
        self,
        *,
        project: str,
        location: str,
        clock: Clock,
        ids: Ids,
        credentials: Credentials | None = None,
        endpoint: str | None = None,
        labels: Mapping[str, str] | None = None,
        settings: SettingsOf | None = None,
        kept: Kept = lambda _: None,
    ) -> None:
        self._labels = dict(labels or {})
        self._client = Client(
            project=project, location=location, credentials=credentials, endpoint=endpoint, clock=clock, ids=ids
        )
        self._jobs, self._tables = Jobs(self._client), Tables(self._client, self._labels, kept)
        statements = Statements(self._client, self._tables)
        options = JobOptions(self._labels, settings, project)
        ledger = Ledger(self._jobs, self._tables, options)
        self._routines = Routines(self._client, self._tables)
        self._loads = Loads(self._jobs, ledger, options)
        self._queries = Queries(self._jobs, self._tables, statements, ledger, options)
        self._calls = Calls(self._jobs, self._tables, statements, self._routines, ledger, options)
        self._closing = Closing(self._jobs, ledger, options)
        self._migrations = Migrations(self._jobs, self._tables, statements, self._routines, ledger, options)
        self._appends = Appends(self._client, self._tables)
        self._snapshots = Snapshots(self._jobs, options)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._client.close()

    async def ensure_dataset(self, dataset: str) -> None:
        """Create the dataset unless it exists."""
        await self._tables.ensure_dataset(dataset)

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        """Create the table, or add its new columns. Raises `SchemaMismatch` when a type changed."""
        await self._tables.ensure_table(dataset, table)

    async def columns(self, dataset: str, table: str) -> tuple[Column, ...]:
        """Return the columns of a stored table; see the port."""
        return await self._tables.described(dataset, table)

    async def column_names(self, dataset: str) -> Mapping[str, tuple[str, ...]]:
        """Return the columns of each table and view of a dataset; see the port."""
        return await self._queries.column_names(dataset)

    def stage(self, dataset: str, table: TableSchema, name: str) -> Stage:
        """Return the stage `name`; parts that an earlier process flushed are still in it, for 24 hours."""
        return BigQueryStage(self._jobs, self._tables, self._labels, dataset, table, name)

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        """Make the staged rows visible and drop the stages; see the port."""
        staged = [stage for stage in stages if isinstance(stage, BigQueryStage)]
        assert len(staged) == len(stages), "a stage comes from this warehouse"
        check_load(load)
        await self.ensure_table(load.dataset, load.table)
        result = await self._loads.load(load, staged)
        for stage in staged:
            await stage.discard()
        return result

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], *, ids: Sequence[str]) -> None:
        """Add rows of a log; see the port. A repetition within about a minute is mostly left out."""
        check_ids(rows, ids)
        await self._appends.append(dataset, table, rows, ids)

    async def query(self, statement: Statement) -> QueryResult:
        """Run one GoogleSQL statement; see the port. `bytes_max` is what may be billed, 10 MB a table at least."""
        check_wait(statement.wait_s, statement.job_id)
        return await self._queries.query(statement)

    async def call(self, call: ProcedureCall) -> QueryResult:
        """Call a stored procedure; see the port."""
        return await self._calls.call(call)

    async def close_job(self, job_id: str, *, scope: Scope, wait_s: float | None = None) -> Effect | None:
        """Revoke the job unless it took effect; see the port."""
        return await self._closing.close(job_id, scope, wait_s)

    async def snapshot(self, scope: Scope, tables: Sequence[str], *, suffix: str, until: datetime) -> list[str]:
        """Keep tables as they are now; see `TableSnapshots`."""
        return await self._snapshots.take(scope, tables, suffix=suffix, until=until)

    async def sync_routines(self, routines: Sequence[Routine], *, force: bool = False) -> list[str]:
        """Create or replace routines; see the port."""
        return await self._routines.sync(routines, force=force)

    async def list_routines(self) -> list[Routine]:
        """Return all routines, by name."""
        return await self._routines.all()

    async def get_routine(self, name: str) -> Routine:
        """Return the routine of this name. Raises `NotFound` with the nearest name."""
        return await self._routines.get(name)

    async def delete_routine(self, name: str) -> None:
        """Remove a routine. Raises `NotFound`."""
        await self._routines.delete(name)

    async def migrate(self, migrations: Sequence[Routine], *, dataset: str, dry_run: bool = False) -> list[str]:
        """Run the migrations that the dataset has not seen; see the port."""
        return await self._migrations.migrate(migrations, dataset=dataset, dry_run=dry_run)
