"""Datasets and tables: schema files become partitioned, clustered tables, and grow new columns.

Metadata may change five times in ten seconds for each dataset and table ("Quotas and limits", BigQuery), so what was
found in order is remembered for the life of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from convergence.adapters.gcp.warehouse.client import HTTP, Client
from convergence.adapters.gcp.warehouse.current_rows import current_query
from convergence.adapters.gcp.warehouse.fields import column_of, nullable, schema_field
from convergence.adapters.gcp.warehouse.values import sql_type
from convergence.adapters.googlesql.types import SqlType, column_type
from convergence.adapters.warehouse_checks import refuse_other_case
from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import SchemaMismatch, Transient
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

logger = logging.getLogger(__name__)

_ROUNDS: Final = 5  # of reading and adding columns, when others add some at the same time
Kept = Callable[[str], timedelta | None]  # table → how long its partitions stay; None: without limit


class Tables:
    """Creates datasets and tables; knows the columns of those that exist."""

    def __init__(self, client: Client, labels: Mapping[str, str], kept: Kept) -> None:
        self._client, self._labels, self._kept = client, dict(labels), kept
        self._datasets: set[str] = set()
        self._ensured: set[tuple[str, TableSchema]] = set()

    async def ensure_dataset(self, dataset: str, *, tables_live: timedelta | None = None) -> None:
        """Create the dataset unless it exists; `tables_live`: its tables expire after so long.

        It is read first: Terraform and onboarding have made nearly all, and creations share a quota with updates.
        """
        if not await self.has_dataset(dataset):
            await self._create_dataset(dataset, tables_live)
        self._datasets.add(dataset)

    async def has_dataset(self, dataset: str) -> bool:
        """Tell whether the dataset exists."""
        from google.api_core.exceptions import NotFound

        if dataset in self._datasets:
            return True
        path = f"{self._client.project}.{checked(dataset, 'dataset')}"
        try:
            await self._client.call(lambda client: client.get_dataset(path, **HTTP), doing=f"reading {path}")
        except NotFound:
            return False
        self._datasets.add(dataset)
        return True

    async def _create_dataset(self, dataset: str, tables_live: timedelta | None) -> None:
        from google.cloud import bigquery

        expected = bigquery.Dataset(f"{self._client.project}.{checked(dataset, 'dataset')}")
        expected.location, expected.labels = self._client.location, self._labels
        if tables_live is not None:
            expected.default_table_expiration_ms = int(tables_live.total_seconds() * 1000)
        doing = f"creating the dataset {dataset}"
        await self._client.call(lambda client: client.create_dataset(expected, exists_ok=True, **HTTP), doing=doing)

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        """Create the table, or add its new columns. Raises `SchemaMismatch` when a type changed."""
        if (dataset, table) in self._ensured:
            return
        checked(table.name, "table")
        for _ in range(_ROUNDS):
            found = await self.find(dataset, table.name)
            if found is None:
                await self.ensure_dataset(dataset)
                done = await self._create(dataset, table)
            else:
                done = await self._widen(dataset, table, found)
            if done and table.reads is not None:
                await self.ensure_table(dataset, table.reads)
                query = current_query(self._client.project, dataset, table, table.reads)
                done = await self._ensure_view(dataset, f"{table.name}_current", table, query)
            if done and await self._ensure_names(dataset, table):
                _warn_of_partitions(dataset, table, found)
                self._ensured.add((dataset, table))
                return
        raise Transient(f"{dataset}.{table.name}: others are changing this table at the same time")

    async def find(self, dataset: str, name: str) -> bigquery.Table | None:
        """Return the table's description, None when the table does not exist."""
        from google.api_core.exceptions import NotFound

        path = f"{self._client.project}.{dataset}.{name}"
        try:
            return await self._client.call(lambda client: client.get_table(path, **HTTP), doing=f"reading {path}")
        except NotFound:
            return None

    async def columns(self, dataset: str, name: str) -> dict[str, SqlType]:
        """Return the type of each column; empty when the table does not exist."""
        found = await self.find(dataset, name)
        return {} if found is None else {field.name: sql_type(field) for field in found.schema}

    async def described(self, dataset: str, name: str) -> tuple[Column, ...]:
        """Return the columns with their descriptions; none when the table does not exist."""
        found = await self.find(dataset, name)
        return () if found is None else tuple(map(column_of, found.schema))

    async def names(self, dataset: str) -> list[str]:
        """Return the names of a dataset's tables; empty when the dataset does not exist."""
        from google.api_core.exceptions import NotFound

        path = f"{self._client.project}.{dataset}"

        def listed(client: bigquery.Client) -> list[str]:
            return [each.table_id for each in client.list_tables(path, max_results=1000, **HTTP)]

        try:
            return await self._client.call(listed, doing=f"listing the tables of {dataset}")
        except NotFound:
            return []

    async def ensure_plain(self, dataset: str, name: str, fields: Sequence[bigquery.SchemaField]) -> None:
        """Create a table without partitions, such as one to stage rows in, unless it exists."""
        from google.cloud import bigquery

        expected = bigquery.Table(f"{self._client.project}.{dataset}.{name}", schema=fields)
        expected.labels = self._labels
        await self._client.call(
            lambda client: client.create_table(expected, exists_ok=True, **HTTP), doing=f"creating {dataset}.{name}"
        )

    async def drop(self, dataset: str, name: str) -> None:
        """Drop a table if it exists."""
        path = f"{self._client.project}.{dataset}.{name}"
        await self._client.call(
            lambda client: client.delete_table(path, not_found_ok=True, **HTTP), doing=f"dropping {path}"
        )

    async def _create(self, dataset: str, table: TableSchema) -> bool:
        from google.api_core.exceptions import Conflict as Exists
        from google.cloud import bigquery

        expected = bigquery.Table(
            f"{self._client.project}.{dataset}.{table.name}", schema=[schema_field(column) for column in table.columns]
        )
        expected.description, expected.labels = table.description or None, self._labels
        if table.partition_by is not None:
            expected.time_partitioning = bigquery.TimePartitioning(
                field=table.partition_by, expiration_ms=self._expiration_ms(table)
            )
        expected.clustering_fields = list(table.cluster_by) or None
        doing = f"creating {dataset}.{table.name}"
        try:
            await self._client.call(lambda client: client.create_table(expected, **HTTP), doing=doing)
        except Exists:
            return False  # another process was first: read what it created
        return True

    async def _ensure_names(self, dataset: str, table: TableSchema) -> bool:
        """Create the views that are further names of the table; False when another process has changed one."""
        query = f"SELECT * FROM {bigquery_name(self._client.project, dataset, table.name)}"
        return all(
            [await self._ensure_view(dataset, checked(name, "table"), table, query) for name in table.also_named]
        )

    async def _ensure_view(self, dataset: str, name: str, table: TableSchema, query: str) -> bool:
        """Create a view of the table, anew when its query or the table's columns have changed; False when another
        process has changed it meanwhile."""
        from google.api_core.exceptions import Conflict as Exists
        from google.api_core.exceptions import PreconditionFailed
        from google.cloud import bigquery

        view = await self.find(dataset, name)
        known = set() if view is None else {field.name for field in view.schema}
        if view is not None and view.view_query == query and {column.name for column in table.columns} <= known:
            return True
        expected = bigquery.Table(f"{self._client.project}.{dataset}.{name}") if view is None else view
        expected.view_query = query
        doing = f"creating the view {dataset}.{name}"
        try:
            if view is None:
                await self._client.call(lambda client: client.create_table(expected, **HTTP), doing=doing)
            else:
                await self._client.call(
                    lambda client: client.update_table(expected, ["view_query"], **HTTP), doing=doing
                )
        except (Exists, PreconditionFailed):
            return False
        return True

    async def _widen(self, dataset: str, table: TableSchema, found: bigquery.Table) -> bool:
        """Add the columns that are missing, relax those that are no longer REQUIRED, let partitions expire as they
        should by now.

        False when the table has been changed meanwhile.
        """
        from google.api_core.exceptions import PreconditionFailed

        stored = {field.name: sql_type(field) for field in found.schema}
        refuse_other_case(dataset, table, stored)
        free = {column.name for column in table.columns if column.mode != "REQUIRED"}
        relaxed = {field.name for field in found.schema if field.mode == "REQUIRED" and field.name in free}
        added = []
        for column in table.columns:
            if column.name not in stored:
                _refuse_required(dataset, table, column)
                added.append(schema_field(column))
            elif stored[column.name] != column_type(column):
                raise SchemaMismatch(
                    f"{dataset}.{table.name}: column {column.name!r} is {column_type(column)} in the schema file,"
                    f" but {stored[column.name]} in the table. Add a new column for the new type."
                )
        changes = [
            *(["schema"] if added or relaxed else []),
            *(["time_partitioning"] if self._let_expire(table, found) else []),
        ]
        if not changes:
            return True
        kept = [nullable(field) if field.name in relaxed else field for field in found.schema]
        found.schema = [*kept, *added]  # sent with the etag that was read
        doing = f"changing {' and '.join(changes)} of {dataset}.{table.name}"
        try:
            await self._client.call(lambda client: client.update_table(found, changes, **HTTP), doing=doing)
        except PreconditionFailed:
            return False
        return True

    def _expiration_ms(self, table: TableSchema) -> int | None:
        kept = self._kept(table.name)
        return None if kept is None else kept // timedelta(milliseconds=1)

    def _let_expire(self, table: TableSchema, found: bigquery.Table) -> bool:
        """Set how long partitions stay where that has changed; a table without partitions stays as it is."""
        from google.cloud import bigquery

        there, expiration_ms = found.time_partitioning, self._expiration_ms(table)
        if there is None or expiration_ms is None or there.expiration_ms == expiration_ms:
            return False
        found.time_partitioning = bigquery.TimePartitioning(
            type_=there.type_, field=there.field, expiration_ms=expiration_ms
        )
        return True


def _warn_of_partitions(dataset: str, table: TableSchema, found: bigquery.Table | None) -> None:
    """Warn that each write reads the whole of a table of an earlier release: its partitions cannot be changed."""
    stored = found.time_partitioning.field if found is not None and found.time_partitioning is not None else None
    if found is not None and table.partition_by is not None and stored != table.partition_by:
        logger.warning(
            "%s.%s is partitioned by %s, but its schema file names %s: loads stay correct, but scan the whole table."
            " Copy it into a new one (docs/bigquery.md, Partitions).",
            dataset,
            table.name,
            stored or "nothing",
            table.partition_by,
        )


def _refuse_required(dataset: str, table: TableSchema, column: Column) -> None:
    if column.mode == "REQUIRED" and column.name not in LINEAGE_COLUMNS:
        raise SchemaMismatch(
            f"{dataset}.{table.name}: the new column {column.name!r} is REQUIRED, but the table has rows already. Make"
            " it NULLABLE."
        )
