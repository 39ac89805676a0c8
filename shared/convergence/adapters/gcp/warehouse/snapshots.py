"""Table snapshots: read-only copies of a dataset's tables that store only what differs later.

A snapshot is beside its table, so no function needs the right to create datasets ("Introduction to table snapshots",
BigQuery documentation). BigQuery removes it when it expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.client import HTTP
from convergence.adapters.gcp.warehouse.jobs import JobOptions, Jobs
from convergence.domain.sql_names import bigquery_name, checked
from convergence.ports.warehouse import Scope

if TYPE_CHECKING:
    from google.cloud import bigquery


class Snapshots:
    """Takes snapshots, one job for each table."""

    def __init__(self, jobs: Jobs, options: JobOptions) -> None:
        self._jobs, self._options = jobs, options

    async def take(self, scope: Scope, tables: Sequence[str], *, suffix: str, until: datetime) -> list[str]:
        """Take a snapshot of each table; see the port."""
        from google.cloud import bigquery

        kinds = await self._kinds(scope.dataset)
        # Neither views nor snapshots; a repetition continues where the previous one ended.
        chosen = [name for name, kind in kinds.items() if kind == "TABLE" and (not tables or name in tables)]
        options, project = await self._options.of(scope.lineage), self._jobs.client.project
        config = bigquery.QueryJobConfig(**options.config)
        expires = f"OPTIONS (expiration_timestamp = TIMESTAMP '{until.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00')"
        for name in chosen:
            if f"{name}{suffix}" in kinds:
                continue
            kept = bigquery_name(project, scope.dataset, checked(f"{name}{suffix}", "table"))
            sql = f"CREATE SNAPSHOT TABLE IF NOT EXISTS {kept} CLONE {bigquery_name(project, scope.dataset, name)}"
            await self._jobs.query(
                self._jobs.client.ids.new("snapshot"),
                f"{sql} {expires}",
                config,
                what=f"the snapshot of {scope.dataset}.{name}",
                project=options.project,
            )
        return chosen

    async def _kinds(self, dataset: str) -> dict[str, str]:
        """Return name → kind (TABLE, VIEW, SNAPSHOT) of all tables of a dataset."""
        from google.api_core.exceptions import NotFound

        path = f"{self._jobs.client.project}.{dataset}"

        def listed(client: bigquery.Client) -> dict[str, str]:
            return {each.table_id: each.table_type for each in client.list_tables(path, **HTTP)}

        try:
            return await self._jobs.client.call(listed, doing=f"listing the tables of {dataset}")
        except NotFound:
            return {}
