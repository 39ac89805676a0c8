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

AMOUNTS: Final = (
    *("quantity", "consumed_quantity", "cost", "credits", "grants", "list_cost"),
    *("list_price", "effective_price", "price_quantity"),
)
TEXTS: Final = (
    *("billing_account_id", "project_id", "project_name", "service", "sku_id", "sku", "unit", "consumed_unit"),
    *("currency", "cost_type", "invoice_month", "region", "labels", "resource_id", "resource_name", "grant_names"),
)
COLUMNS: Final = ("usage_date", *TEXTS, *AMOUNTS)
# Granted afterwards, so not a lower price of the usage. All other credits are discounts on the row that they are in:
# SUSTAINED_USAGE_DISCOUNT, COMMITTED_USAGE_DISCOUNT, DISCOUNT, FREE_TIER, SUBSCRIPTION_BENEFIT.
GRANTS: Final = ("PROMOTION", "RESELLER_MARGIN")
_TABLE: Final = re.compile(
    r"[a-z][a-z0-9.:-]{4,60}\.[A-Za-z0-9_]{1,1024}\.gcp_billing_export(_resource)?_v1_[A-Z0-9_]+"
)
# Amounts are FLOAT in the export: each becomes a decimal before it is added up. Rows of one price are together, so
# that price times quantity is their cost. Only the detailed export names resources.
_SQL: Final = """
WITH export AS (
  SELECT
    DATE(usage_start_time) AS usage_date, billing_account_id, project.id AS project_id, project.name AS project_name,
    service.description AS service, sku.id AS sku_id, sku.description AS sku, usage.pricing_unit AS unit,
    usage.unit AS consumed_unit, currency, cost_type, invoice.month AS invoice_month, location.region AS region,
    (SELECT TO_JSON_STRING(ARRAY_AGG(STRUCT(label.key, label.value) ORDER BY label.key)) FROM UNNEST(labels) AS label)
      AS labels,
    {resource_id} AS resource_id, {resource_name} AS resource_name,
    CAST(price.list_price AS BIGNUMERIC) AS list_price, CAST(price.effective_price AS BIGNUMERIC) AS effective_price,
    CAST(price.pricing_unit_quantity AS BIGNUMERIC) AS price_quantity,
    CAST(usage.amount_in_pricing_units AS BIGNUMERIC) AS quantity,
    CAST(usage.amount AS BIGNUMERIC) AS consumed_quantity,
    CAST(cost AS BIGNUMERIC) AS cost, CAST(cost_at_list AS BIGNUMERIC) AS list_cost,
    COALESCE((SELECT SUM(CAST(credit.amount AS BIGNUMERIC)) FROM UNNEST(credits) AS credit), 0) AS credits,
    COALESCE((
      SELECT SUM(CAST(credit.amount AS BIGNUMERIC)) FROM UNNEST(credits) AS credit WHERE credit.type IN UNNEST(@grants)
    ), 0) AS grants,
    (SELECT STRING_AGG(DISTINCT credit.name, ', ' ORDER BY credit.name) FROM UNNEST(credits) AS credit
      WHERE credit.type IN UNNEST(@grants)) AS grant_names
  FROM `{table}`
  WHERE DATE(usage_start_time) BETWEEN @start_date AND @end_date AND service.description IN UNNEST(@services)
)
SELECT
  usage_date, billing_account_id, project_id, project_name, service, sku_id, sku, unit, consumed_unit, currency,
  cost_type, invoice_month, region, labels, resource_id, resource_name, grant_names, list_price, effective_price,
  price_quantity, SUM(quantity) AS quantity, SUM(consumed_quantity) AS consumed_quantity, SUM(cost) AS cost,
  SUM(credits) AS credits, SUM(grants) AS grants, SUM(list_cost) AS list_cost
FROM export
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
ORDER BY 1, 2, 3, 6, 8, 10, 11, 12, 13, 14, 15, 18, 19
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
        "grants": Parameter("ARRAY<STRING>", list(GRANTS)),
    }
    detailed = ".gcp_billing_export_resource_v1_" in table
    sql = _SQL.format(
        table=table,
        resource_id="resource.global_name" if detailed else "CAST(NULL AS STRING)",
        resource_name="resource.name" if detailed else "CAST(NULL AS STRING)",
    )
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
