"""Which writes and migrations were committed: a table of our own beside the data, written in the same transaction.

A job's id already says that it ran once; the ledger keeps the figures longer than BigQuery keeps a job's result (24 h)
and the job itself (six months), and proves a commit whose job was reported as failed. One table for each dataset of an
org, so that orgs never queue for each other's inserts.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import AppliedBefore, LeaseLost
from convergence.ports.warehouse import Column, Parameter, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

LEDGER: Final = "convergence_ledger"  # the dataset; outside of every scope, so no statement of a user reaches it
_LOADS: Final = (
    Column("job_id", "STRING", "REQUIRED"),
    Column("rows_removed", "INT64", "REQUIRED"),
    Column("rows_loaded", "INT64", "REQUIRED"),
    Column("finished_at", "TIMESTAMP", "REQUIRED"),
    Column("fingerprint", "STRING"),  # of rows that an older version wrote: NULL
    Column("commits", "INT64"),  # of a procedure that commits by itself: after which COMMIT; NULL when it has ended
    Column("own_rows", "INT64"),  # of such a procedure when it has ended: rows that statements of ours changed
)
UNCOUNTED: Final = -1  # rows of a call: only the jobs of its statements know them
_MIGRATIONS_OF_ALL: Final = "_convergence_migrations"  # where earlier releases listed those of all datasets
_MIGRATIONS: Final = (
    Column("dataset", "STRING", "REQUIRED"),
    Column("name", "STRING", "REQUIRED"),
    Column("digest", "STRING", "REQUIRED"),
    Column("applied_at", "TIMESTAMP", "REQUIRED"),
)


class Marked(NamedTuple):
    """A write in the ledger. `commits`: how far a procedure came that is not known to have ended, else 0."""

    loaded: int
    removed: int
    at: datetime
    fingerprint: str
    commits: int = 0
    own_rows: int = 0


def refuse_other(job_id: str, known: str, fingerprint: str) -> None:
    """Raise `AppliedBefore` when a write took effect with input other than its present one."""
    if known != fingerprint:
        raise AppliedBefore(f"job {job_id} took effect earlier, with different input")


class Ledger:
    """The bookkeeping tables."""

    def __init__(self, jobs: Jobs, tables: Tables, options: JobOptions) -> None:
        self._jobs, self._tables, self._options = jobs, tables, options

    async def ensure(self, dataset: str) -> None:
        """Make the ledger of a dataset's writes: outside of the transaction, which allows no permanent DDL."""
        schema = TableSchema(
            f"_convergence_loads_{dataset}", _LOADS, partition_by="finished_at", cluster_by=("job_id",)
        )
        await self._tables.ensure_table(LEDGER, schema)

    async def ensure_migrations(self, dataset: str) -> None:
        """Make the list of a dataset's migrations."""
        schema = TableSchema(_migrations_of(dataset), _MIGRATIONS, partition_by=None)
        await self._tables.ensure_table(LEDGER, schema)

    def insert(self, dataset: str, removed: str, loaded: str) -> str:
        """Return the statement that marks a write, for a script with `parameters`; the figures are expressions."""
        return (
            f"INSERT INTO {self._loads(dataset)} (job_id, rows_removed, rows_loaded, finished_at, fingerprint)\n"
            f"VALUES (@convergence_job, {removed}, {loaded}, @convergence_finished_at, @convergence_fingerprint);"
        )

    def insert_commit(self, dataset: str) -> str:
        """Return the statement that marks one COMMIT of a procedure; the variable convergence_commits counts them."""
        return self._insert_call(dataset, "convergence_commits", "NULL")

    def insert_end(self, dataset: str) -> str:
        """Return the statement that marks the end of a procedure that commits by itself."""
        return self._insert_call(dataset, "NULL", "convergence_own")

    def _insert_call(self, dataset: str, commits: str, own_rows: str) -> str:
        return (
            f"INSERT INTO {self._loads(dataset)}"
            " (job_id, rows_removed, rows_loaded, finished_at, fingerprint, commits, own_rows)\n"
            f"VALUES (@convergence_job, 0, {UNCOUNTED}, @convergence_finished_at, @convergence_fingerprint,"
            f" {commits}, {own_rows});"
        )

    def parameters(self, job_id: str, fingerprint: str) -> dict[str, Parameter]:
        """Return the parameters of `insert`."""
        return {
            "convergence_job": Parameter("STRING", job_id),
            "convergence_finished_at": Parameter("TIMESTAMP", self._jobs.client.clock.now()),
            "convergence_fingerprint": Parameter("STRING", fingerprint),
        }

    async def find(self, dataset: str, job_id: str) -> Marked | None:
        """Return the mark of a write that was committed, or, of a procedure that has not ended, of its last COMMIT."""
        await self.ensure(dataset)
        columns = "rows_loaded, rows_removed, finished_at, fingerprint, COALESCE(commits, 0), COALESCE(own_rows, 0)"
        latest = "ORDER BY commits IS NOT NULL, commits DESC LIMIT 1"  # FALSE comes first
        sql = f"SELECT {columns} FROM {self._loads(dataset)} WHERE job_id = @job_id {latest}"
        rows = await self._read(sql, job_id=job_id)
        for loaded, removed, at, fingerprint, commits, own_rows in rows:
            return Marked(int(loaded), int(removed), at, fingerprint or "", int(commits), int(own_rows))
        return None

    async def taken(self, dataset: str, job_id: str, fingerprint: str) -> Marked:
        """Return the mark of a write whose job is known no more; raises `LeaseLost` where it never took effect."""
        found = await self.find(dataset, job_id)
        if found is None:
            raise LeaseLost(f"job {job_id} was revoked: another owner has taken over its step")
        refuse_other(job_id, found.fingerprint, fingerprint)
        return found

    def migrations(self, dataset: str) -> str:
        """Return the table of the migrations that ran in a dataset, quoted."""
        return bigquery_name(self._jobs.client.project, LEDGER, _migrations_of(dataset))

    async def migrated(self, dataset: str) -> dict[str, str]:
        """Return name → digest of the migrations that ran in a dataset; makes no table."""
        lists = [_migrations_of(dataset), _MIGRATIONS_OF_ALL]
        there = [name for name in lists if await self._tables.find(LEDGER, name) is not None]
        if not there:
            return {}
        tables = [bigquery_name(self._jobs.client.project, LEDGER, name) for name in there]
        sql = "\nUNION ALL ".join(f"SELECT name, digest FROM {table} WHERE dataset = @dataset" for table in tables)
        return {str(name): str(digest) for name, digest in await self._read(sql, dataset=dataset)}

    async def listed_since(self, dataset: str) -> str:
        """Return when the list of a dataset's migrations was made, '' when there is none."""
        found = await self._tables.find(LEDGER, _migrations_of(dataset))
        return "" if found is None or found.created is None else found.created.isoformat()

    def _loads(self, dataset: str) -> str:
        return bigquery_name(self._jobs.client.project, LEDGER, f"_convergence_loads_{checked(dataset)}")

    async def _read(self, sql: str, **values: str) -> list[tuple[Any, ...]]:
        from google.cloud import bigquery

        parameters = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in values.items()]
        config: bigquery.QueryJobConfig = bigquery.QueryJobConfig(query_parameters=parameters, **self._options.plain())
        ended = await self._jobs.query(self._jobs.client.ids.new("ledger"), sql, config, what="reading the ledger")
        _, rows = await self._jobs.rows(ended.job)
        return rows


def _migrations_of(dataset: str) -> str:
    """A list for each dataset: one that 10,000 orgs share takes 1,500 INSERTs a day at once, then ten."""
    return f"_convergence_migrations_{checked(dataset)}"
