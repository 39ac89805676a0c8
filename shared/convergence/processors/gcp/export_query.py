"""The statement that reads a billing export of Google Cloud, whole groups of rows at a time.

Google appends rows to the export for days after the usage, and corrections for as long as the invoice month is open
(sometimes longer). A group is what one account used on one day and was billed for on one invoice: (billing account,
invoice month, usage day). Usage at the edge of a month may be on the neighbouring month's invoice, so both are in the
key.

Source: schema of the standard and of the detailed export (docs.cloud.google.com, billing/docs/how-to/export-data-
bigquery-tables). Days are UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from convergence.ports.warehouse import Parameter

EXPORT: Final = re.compile(r"gcp_billing_export(?P<detailed>_resource)?_v1_[A-Z0-9_]+", re.IGNORECASE)
GROUP: Final = ("billing_account_id", "invoice_month", "usage_date")

# Money and amounts are FLOAT64 in the export; their shortest text is the number that Google prints, digit by digit.
_SQL: Final = """
WITH changed AS (
  SELECT DISTINCT
    billing_account_id, COALESCE(invoice.month, '') AS invoice_month, DATE(usage_start_time) AS usage_date
  FROM `{table}`
  WHERE DATE(usage_start_time) BETWEEN @start_date AND @end_date
    OR (export_time >= @exported_from AND export_time < @exported_until)
)
SELECT
  DATE(export.usage_start_time) AS usage_date,
  export.billing_account_id,
  export.invoice.month AS invoice_month,
  export.cost_type,
  export.usage_start_time,
  export.usage_end_time,
  export.service.id AS service_id,
  export.service.description AS service_description,
  export.sku.id AS sku_id,
  export.sku.description AS sku_description,
  export.project.id AS project_id,
  export.project.number AS project_number,
  export.project.name AS project_name,
  ARRAY(SELECT AS STRUCT each.key, each.value FROM UNNEST(export.project.labels) AS each) AS project_labels,
  ARRAY(SELECT AS STRUCT each.key, each.value FROM UNNEST(export.labels) AS each) AS labels,
  ARRAY(SELECT AS STRUCT each.key, each.value FROM UNNEST(export.system_labels) AS each) AS system_labels,
  ARRAY(SELECT AS STRUCT each.key, each.value, each.inherited, each.namespace FROM UNNEST(export.tags) AS each) AS tags,
  export.location.location AS location,
  export.location.country AS country,
  export.location.region AS region,
  export.location.zone AS zone,
  {resource_name} AS resource_name,
  {resource_global_name} AS resource_global_name,
  export.price.list_price,
  export.price.effective_price,
  export.price.tier_start_amount,
  export.price.pricing_unit_quantity,
  CAST(CAST(export.usage.amount AS STRING) AS BIGNUMERIC) AS usage_amount,
  export.usage.unit AS usage_unit,
  CAST(CAST(export.usage.amount_in_pricing_units AS STRING) AS BIGNUMERIC) AS usage_amount_in_pricing_units,
  export.usage.pricing_unit,
  CAST(CAST(export.cost AS STRING) AS BIGNUMERIC) AS cost,
  CAST(CAST(export.cost_at_list AS STRING) AS BIGNUMERIC) AS cost_at_list,
  ARRAY(
    SELECT AS STRUCT
      each.id, each.name, each.full_name, each.type, CAST(CAST(each.amount AS STRING) AS BIGNUMERIC) AS amount
    FROM UNNEST(export.credits) AS each
  ) AS credits,
  export.currency,
  CAST(CAST(export.currency_conversion_rate AS STRING) AS BIGNUMERIC) AS currency_conversion_rate,
  export.adjustment_info.id AS adjustment_id,
  export.adjustment_info.description AS adjustment_description,
  export.adjustment_info.mode AS adjustment_mode,
  export.adjustment_info.type AS adjustment_type,
  export.transaction_type,
  export.seller_name,
  export.export_time
FROM `{table}` AS export
JOIN changed
  ON changed.usage_date = DATE(export.usage_start_time)
  AND changed.billing_account_id = export.billing_account_id
  AND changed.invoice_month = COALESCE(export.invoice.month, '')
"""
COLUMNS: Final = (
    *("usage_date", "billing_account_id", "invoice_month", "cost_type", "usage_start_time", "usage_end_time"),
    *("service_id", "service_description", "sku_id", "sku_description", "project_id", "project_number", "project_name"),
    *("project_labels", "labels", "system_labels", "tags", "location", "country", "region", "zone", "resource_name"),
    *("resource_global_name", "list_price", "effective_price", "tier_start_amount", "pricing_unit_quantity"),
    *("usage_amount", "usage_unit", "usage_amount_in_pricing_units", "pricing_unit", "cost", "cost_at_list"),
    *("credits", "currency", "currency_conversion_rate", "adjustment_id", "adjustment_description"),
    *("adjustment_mode", "adjustment_type", "transaction_type", "seller_name", "export_time"),
)


def export_sql(table: str) -> str:
    """Return the statement for `project.dataset.table`, an export whose name `EXPORT` matches.

    Only the detailed export names resources.
    """
    found = EXPORT.fullmatch(table.rpartition(".")[2])
    detailed = found is not None and found["detailed"]
    nothing = "CAST(NULL AS STRING)"
    return _SQL.format(
        table=table,
        resource_name="export.resource.name" if detailed else nothing,
        resource_global_name="export.resource.global_name" if detailed else nothing,
    )


def export_parameters(first: date, last: date, overlap_days: int) -> dict[str, Parameter]:
    """Return the parameters: usage of these days, and whatever was exported on them or `overlap_days` before."""
    begin, end = first - timedelta(days=overlap_days), last + timedelta(days=1)
    return {
        "start_date": Parameter("DATE", first),
        "end_date": Parameter("DATE", last),
        "exported_from": Parameter("TIMESTAMP", datetime.combine(begin, time(), UTC)),
        "exported_until": Parameter("TIMESTAMP", datetime.combine(end, time(), UTC)),
    }
