"""Rows of Google Cloud's billing export, queried under the customer's service account.

Source: billing export schema (docs.cloud.google.com, billing/docs/how-to/export-data-bigquery-tables). Late rows and
corrections keep arriving for days: run days again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.settings import CredentialSettings

AMOUNTS: Final = ("quantity", "cost", "credits", "list_cost")
COLUMNS: Final = (
    *("usage_date", "billing_account_id", "project_id", "service", "sku_id", "sku", "unit", "currency"),
    *AMOUNTS,
)
_TABLE: Final = re.compile(
    r"[a-z][a-z0-9.:-]{4,60}\.[A-Za-z0-9_]{1,1024}\.gcp_billing_export(_resource)?_v1_[A-Z0-9_]+"
)
# Amounts are FLOAT in the export: each becomes a decimal before it is added up.
_SQL: Final = """
SELECT
  DATE(usage_start_time) AS usage_date, billing_account_id, project.id AS project_id, service.description AS service,
  sku.id AS sku_id, sku.description AS sku, usage.pricing_unit AS unit, currency,
  SUM(CAST(usage.amount_in_pricing_units AS BIGNUMERIC)) AS quantity,
  SUM(CAST(cost AS BIGNUMERIC)) AS cost,
  SUM(COALESCE((SELECT SUM(CAST(credit.amount AS BIGNUMERIC)) FROM UNNEST(credits) AS credit), 0)) AS credits,
  SUM(CAST(cost_at_list AS BIGNUMERIC)) AS list_cost
FROM `{table}`
WHERE DATE(usage_start_time) BETWEEN @start_date AND @end_date AND service.description IN UNNEST(@services)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 5, 7, 8
"""

Record = dict[str, Any]


class ExportSettings(CredentialSettings):
    """`billing_export_table`: `project.dataset.gcp_billing_export_v1_…`. `job_project` pays for the query: the
    export's own by default. `bytes_max` is what a query may bill at most."""

    billing_export_table: str
    job_project: str = ""
    services: tuple[str, ...] = ()
    api_base_url: str = ""
    bytes_max: int | None = Field(default=None, ge=1)
    page_rows: int = Field(default=10_000, ge=1, le=100_000)
    secret: str = "gcp"  # noqa: S105 - the name of a secret


async def pages(
    options: ExportSettings, services: Sequence[str], context: Context
) -> AsyncGenerator[list[Record], None]:
    """Yield rows of all days of the run, a page at a time, as the run's service account may see them.

    Raises `StepFailed` when the table's name is invalid or a row is not what was requested.
    """
    table = options.billing_export_table
    if not _TABLE.fullmatch(table):
        raise StepFailed(f"config.billing_export_table: {table!r} is not project.dataset.gcp_billing_export_v1_ACCOUNT")
    reader = await context.accounts.reader(
        await context.secrets.open(options.secret),
        project=options.job_project or table.split(".")[0],
        url=options.api_base_url,
    )
    parameters = {
        "start_date": Parameter("DATE", context.start_date),
        "end_date": Parameter("DATE", context.end_date),
        "services": Parameter("ARRAY<STRING>", list(services)),
    }
    sql = _SQL.format(table=table)
    read = reader.pages(sql, parameters, page_rows=options.page_rows, bytes_max=options.bytes_max)
    async with aclosing(read):
        async for rows in read:
            yield [_checked(row) for row in rows]


def _checked(row: Record) -> Record:
    amounts = [row.get(name) for name in AMOUNTS]
    whole = isinstance(row.get("cost"), Decimal) and all(isinstance(each, Decimal | None) for each in amounts)
    if row.keys() != set(COLUMNS) or not isinstance(row["usage_date"], date) or not whole or not row["currency"]:
        raise StepFailed(f"BigQuery: a row does not have the columns of the query; it has {', '.join(map(str, row))}")
    return row
