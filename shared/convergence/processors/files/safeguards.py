"""Stored data is not replaced by less data, or by older data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, TableSchema

DELIVERY_ID, DELIVERED_AT, SOURCE_FILE = "delivery_id", "delivered_at", "source_file"
_SLICE: Final = """
FROM {table}
WHERE x_org_slug = @org AND x_pipeline_id = @pipeline AND x_credential_id = @credential
  AND x_pipeline_run_date IN UNNEST(@dates)
"""


async def check_replacement(
    table: TableSchema,
    dates: Sequence[date],
    context: Context,
    *,
    at: datetime,
    days: int,
    day_column: str,
    allow_shrink: bool,
) -> None:
    """Raise `StepFailed` for a delivery that is older than the stored one, or has fewer days (unless it may)."""
    names = {column.name for column in table.columns}
    await context.warehouse.ensure_table(table)
    newest = f"MAX({DELIVERED_AT})" if DELIVERED_AT in names else "CAST(NULL AS TIMESTAMP)"
    counted = f"COUNT(DISTINCT DATE({bigquery_name(day_column)}))" if day_column in names else "0 * COUNT(*)"
    sql = f"SELECT {newest} AS newest, {counted} AS days" + _SLICE.format(table=bigquery_name(table.name))
    texts = {"org": context.org_slug, "pipeline": context.pipeline_id, "credential": context.credential_id}
    parameters: dict[str, Parameter] = {name: Parameter("STRING", text) for name, text in texts.items()}
    parameters["dates"] = Parameter("ARRAY<DATE>", list(dates))
    (stored,) = (await context.warehouse.query(sql, parameters)).rows
    _compare(table.name, stored, at, days, allow_shrink=allow_shrink)


def _compare(table: str, stored: dict[str, Any], at: datetime, days: int, *, allow_shrink: bool) -> None:
    if stored["newest"] is not None and stored["newest"] > at:
        raise StepFailed(
            f"{table}: the delivery of {at:%Y-%m-%d %H:%M} is older than the stored one of"
            f" {stored['newest']:%Y-%m-%d %H:%M} (UTC); nothing was changed"
        )
    if stored["days"] > days and not allow_shrink:
        raise StepFailed(
            f"{table}: the delivery has rows of {days} days, {stored['days']} are stored; nothing was changed. If days"
            " were really removed, run it with allow_shrink: true"
        )
