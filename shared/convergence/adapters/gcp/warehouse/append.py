"""Rows of a log, in trickles: the streaming API over REST (`tabledata.insertAll`), which needs no job.

A row's id lets BigQuery leave out a repetition for about a minute, best effort ("Legacy streaming API"). The Storage
Write API over gRPC is exactly-once and cheaper, but needs a long-running writer and a package (google-cloud-
bigquery-storage) that this product does not take; a function lives for one message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.gcp.warehouse.client import HTTP, Client
from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.adapters.gcp.warehouse.values import json_value
from convergence.adapters.googlesql.fitting import misfit
from convergence.errors import SchemaMismatch, Transient, did_you_mean
from convergence.ports.warehouse import Row, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

BATCH: Final = 500  # rows of one request, as the documentation advises
BYTES_MAX: Final = 9_000_000  # of them; BigQuery takes 10 MB of HTTP a request (quotas, streaming inserts)
_AROUND: Final = 100  # bytes of a row's id and of what encloses it
_UNKNOWN: Final = "no such field"
_NEW_TABLE_S: Final = 60.0  # for so long the streaming side may not know a table that was just created


class Appends:
    """Appends rows."""

    def __init__(self, client: Client, tables: Tables) -> None:
        self._client, self._tables = client, tables

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], ids: Sequence[str]) -> None:
        """Add rows; see the port."""
        await self._tables.ensure_table(dataset, table)
        ready = [_checked(table, number, row) for number, row in enumerate(rows, 1)]
        for start, end in _batches(table, ready):
            await self._send(dataset, table, ready[start:end], list(ids[start:end]))

    async def _send(self, dataset: str, table: TableSchema, rows: list[dict[str, Any]], ids: list[str]) -> None:
        from google.api_core.exceptions import NotFound

        path, where = f"{self._client.project}.{dataset}.{table.name}", f"{dataset}.{table.name}"

        def send(client: bigquery.Client) -> Sequence[Any]:
            try:
                refused = client.insert_rows_json(path, rows, row_ids=ids, **HTTP)
            except NotFound as error:
                raise Transient(f"waiting for BigQuery to see the new table {where}") from error
            # The columns were checked, so the table has them; its streaming side hears of a new one minutes later
            # (BigQuery, troubleshooting: metadata errors for streaming inserts).
            if any(_UNKNOWN in str(each.get("message")).lower() for row in refused for each in row["errors"]):
                raise Transient(f"waiting for BigQuery to see the new columns of {where}")
            return refused

        refused = await self._client.call(send, doing=f"appending to {where}", total_s=_NEW_TABLE_S)
        for each in refused:
            if each["errors"] and each["errors"][0].get("reason") != "stopped":  # "stopped": another row was refused
                first = each["errors"][0]
                raise SchemaMismatch(f"{where}: {first.get('location') or 'a row'}: {first.get('message')}")


def _batches(table: TableSchema, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return first row and end of each request. Raises `SchemaMismatch` for a row that no request can hold."""
    found, start, size = [], 0, 0
    for number, row in enumerate(rows):
        of_row = len(json.dumps(row)) + _AROUND
        if of_row > BYTES_MAX:
            raise SchemaMismatch(
                f"{table.name}: row {number + 1} has {of_row:,} bytes; a request may have {BYTES_MAX:,}"
            )
        if size + of_row > BYTES_MAX or number - start == BATCH:
            found.append((start, number))
            start, size = number, 0
        size += of_row
    return [*found, (start, len(rows))] if rows else []


def _checked(table: TableSchema, number: int, row: Row) -> dict[str, Any]:
    columns = {column.name: column for column in table.columns}
    for name in row:
        if name not in columns:
            advice = did_you_mean(name, columns)
            raise SchemaMismatch(f"{table.name}: row {number}: the table has no column {name!r}.{advice}")
    found: dict[str, Any] = {}
    for name, column in columns.items():
        value = row.get(name)
        try:
            stored = json_value(column, value)
        except ValueError as error:
            raise SchemaMismatch(f"{table.name}: row {number}: column {name!r} {misfit(column, value)}.") from error
        if value is not None:
            found[name] = stored
    return found
