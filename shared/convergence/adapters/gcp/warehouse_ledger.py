"""Which loads and migrations were committed: a table of our own beside the data, written in the same transaction.

A job's id already says that it ran once; the ledger keeps the figures longer than BigQuery keeps a job's result (24 h),
and proves a commit whose job was reported as failed. One table for each dataset of an org, so that orgs never queue
for each other's inserts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.gcp.warehouse_jobs import JobOptions, Jobs
from convergence.adapters.gcp.warehouse_tables import Tables
from convergence.adapters.googlesql.identifiers import checked
from convergence.ports.warehouse import Column, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

LEDGER: Final = "convergence_ledger"  # the dataset; outside of every scope, so no statement of a user reaches it
_LOADS: Final = (
    Column("job_id", "STRING", "REQUIRED"),
    Column("rows_removed", "INT64", "REQUIRED"),
    Column("rows_loaded", "INT64", "REQUIRED"),
    Column("finished_at", "TIMESTAMP", "REQUIRED"),
)
_MIGRATIONS: Final = (
    Column("dataset", "STRING", "REQUIRED"),
    Column("name", "STRING", "REQUIRED"),
    Column("digest", "STRING", "REQUIRED"),
    Column("applied_at", "TIMESTAMP", "REQUIRED"),
)


class Ledger:
    """The bookkeeping tables."""

    def __init__(self, jobs: Jobs, tables: Tables, options: JobOptions) -> None:
        self._jobs, self._tables, self._options = jobs, tables, options

    async def ensure(self, dataset: str) -> None:
        """Make the ledger of a dataset's loads: outside of the transaction, which allows no permanent DDL."""
        schema = TableSchema(
            f"_convergence_loads_{dataset}", _LOADS, partition_by="finished_at", cluster_by=("job_id",)
        )
        await self._tables.ensure_table(LEDGER, schema)

    async def ensure_migrations(self) -> None:
        """Make the list of migrations."""
        await self._tables.ensure_table(LEDGER, TableSchema("_convergence_migrations", _MIGRATIONS, partition_by=None))

    def insert(self, dataset: str) -> str:
        """Return the statement that marks a load, for a script with `removed`, `loaded`, @job_id and @finished_at."""
        return (
            f"INSERT INTO `{self._loads(dataset)}` (job_id, rows_removed, rows_loaded, finished_at)\n"
            "VALUES (@job_id, removed, loaded, @finished_at);"
        )

    async def find(self, dataset: str, job_id: str) -> tuple[int, int] | None:
        """Return (rows loaded, rows removed) of a load that was committed."""
        sql = f"SELECT rows_loaded, rows_removed FROM `{self._loads(dataset)}` WHERE job_id = @job_id LIMIT 1"
        rows = await self._read(sql, job_id=job_id)
        return (int(rows[0][0]), int(rows[0][1])) if rows else None

    @property
    def migrations(self) -> str:
        """The table of the migrations that ran."""
        return f"{self._jobs.client.project}.{LEDGER}._convergence_migrations"

    async def migrated(self, dataset: str) -> dict[str, str]:
        """Return name → digest of the migrations that ran in a dataset."""
        sql = f"SELECT name, digest FROM `{self.migrations}` WHERE dataset = @dataset"
        return {str(name): str(digest) for name, digest in await self._read(sql, dataset=dataset)}

    def _loads(self, dataset: str) -> str:
        return f"{self._jobs.client.project}.{LEDGER}._convergence_loads_{checked(dataset)}"

    async def _read(self, sql: str, **values: str) -> list[tuple[Any, ...]]:
        from google.cloud import bigquery

        parameters = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in values.items()]
        config: bigquery.QueryJobConfig = bigquery.QueryJobConfig(query_parameters=parameters, **self._options.plain())
        ended = await self._jobs.query(self._jobs.client.ids.new("ledger"), sql, config, what="reading the ledger")
        _, rows = await self._jobs.rows(ended.job)
        return rows
