"""Each bill has one source: charges of another raw table for the same account and period are refused.

The bill of an account may come from an export of its cloud, from an API or from an imported FOCUS file. Each has its
own raw table, whose charges are replaced independently, so both would count.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.corrections import OF_PERIOD
from convergence.processors.focus.slices import Slice

# Raw tables that hold whole bills. Charges that LLM sources report for a part of a bill are a matter of precedence.
BILLS: Final = (
    "cloud_aws_billing_raw_daily",
    "cloud_azure_billing_raw_daily",
    "cloud_oci_billing_raw_daily",
    "focus_billing_daily_raw",
    "gcp_billing_daily_raw",
)
_BESIDE: Final = timedelta(days=31)  # a charge may be this far from its billing period
_PERIOD: Final = f"COALESCE({{0}}.{OF_PERIOD}, DATE_TRUNC(DATE({{0}}.BillingPeriodStart), MONTH)) AS period"
# Azure reports the whole path of an account, or only its last part.
_ACCOUNTS: Final = (
    "REGEXP_EXTRACT(LOWER({0}.BillingAccountId), r'[^/]+$') AS account,"
    " REGEXP_EXTRACT(LOWER({0}.SubAccountId), r'[^/]+$') AS member"
)


async def refuse_second(context: Context, candidates: str, table: str, chosen: Slice) -> None:
    """Raise `StepFailed` when charges of another bill's raw table are visible for an account and period of these.

    An account matches a member of the other one: Cost Explorer may be queried by a member, while exports name the
    payer.
    """
    if chosen.kind not in {"bill", "account"}:
        return
    seen = f"{{0}}.x_SourceTable AS source, {_PERIOD}, {_ACCOUNTS}"
    sql = (
        f"WITH mine AS (SELECT DISTINCT {seen.format('t')} FROM {bigquery_name(candidates)} AS t WHERE {chosen.mine}),"
        f" other AS (SELECT DISTINCT {seen.format('kept')} FROM {bigquery_name(table)} AS kept"
        " WHERE kept.x_org_slug = @org_slug AND kept.x_pipeline_run_date BETWEEN @bill_first AND @bill_last"
        " AND kept.x_SourceTable IN UNNEST(@bills))"
        " SELECT mine.account, mine.period, other.source FROM mine"
        " JOIN other ON other.period = mine.period AND other.source <> mine.source"
        " AND (other.account = mine.account OR other.account = mine.member OR other.member = mine.account)"
        " ORDER BY 1, 2, 3 LIMIT 1"
    )
    first, last = (chosen.given[name].value for name in ("first_day", "last_day"))
    more = {
        "bills": Parameter("ARRAY<STRING>", list(BILLS)),
        "bill_first": Parameter("DATE", first - _BESIDE),
        "bill_last": Parameter("DATE", last + _BESIDE),
    }
    found = (await context.warehouse.query(sql, chosen.parameters(sql, more))).rows
    if found:
        (row,) = found
        raise StepFailed(
            f"the same bill is loaded twice and would count twice: account {row['account']}, period {row['period']},"
            f" whose charges of {row['source']} are visible already; nothing was published. Load an account's month one"
            " way only. To change over, delete its other charges (by x_SourceTable) from"
            f" {table} and its rows from {row['source']}, with generic.bq_execute"
        )
