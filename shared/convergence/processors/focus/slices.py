"""Which candidates a run brings, and which visible charges these replace.

Usage is replaced by provider, credential and day. Seats and SaaS subscriptions are charged once for the org. A bill
that arrived as files is restated as a whole: the billing periods of its raw table are replaced, whichever pipeline or
credential loaded the rows, and whatever the day of a charge. The bill of a whole cloud account is restated by day: the
days of the run, and those others that the run has candidates of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.precedence import SUPERSEDED

Kind = Literal["usage", "seats", "subscriptions", "bill", "account"]
_OF_DAYS: Final = "{row}.x_org_slug = @org_slug AND {row}.x_pipeline_run_date BETWEEN @first_day AND @last_day"
_OF_RUN: Final = f"{_OF_DAYS} AND {{row}}.x_pipeline_id = @pipeline_id AND {{row}}.x_credential_id = @credential_id"
_OF_BILL: Final = (
    "{row}.x_SourceTable = @bill_table"
    # A correction belongs to the bill that it corrects.
    " AND COALESCE({row}.x_CorrectedPeriodStart, DATE({row}.BillingPeriodStart)) BETWEEN @first_month AND @last_month"
)
DAYS_MAX: Final = 100_000
# Kind of charges → candidates; visible charges that they replace, besides org and days.
_CANDIDATES: Final[Mapping[Kind, str]] = {
    "usage": _OF_RUN,
    "seats": _OF_RUN,
    "subscriptions": _OF_RUN,
    "bill": f"{_OF_DAYS} AND {_OF_BILL}",
    # Of the run's days whichever run converted them last: a concurrent run may have been later.
    "account": (
        f"{_OF_DAYS} AND {{row}}.x_Provider = @provider"
        " AND ({row}.x_pipeline_run_date BETWEEN @run_first AND @run_last OR {row}.x_run_id = @run_id)"
    ),
}
_REPLACED: Final[Mapping[Kind, str]] = {
    "usage": (
        "{row}.x_credential_id = @credential_id AND {row}.x_UsageKind IS DISTINCT FROM 'subscription'"
        " AND ({row}.x_pipeline_id = @pipeline_id OR {row}.x_Provider = @provider)"
    ),
    "seats": "{row}.x_UsageKind = 'subscription'",
    "subscriptions": "{row}.x_Provider = @provider",
    "bill": _OF_BILL,
    "account": (
        "{row}.x_Provider = @provider AND ({row}.x_pipeline_run_date BETWEEN @run_first AND @run_last"
        " OR {row}.x_pipeline_run_date IN UNNEST(@run_days))"
    ),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """Conditions on candidates and on visible charges; `given` are their parameters."""

    kind: Kind
    given: Mapping[str, Parameter]

    @property
    def mine(self) -> str:
        """The condition on candidates, of the alias t."""
        return _CANDIDATES[self.kind].format(row="t")

    def replaced(self, row: str) -> str:
        """Return the condition on visible charges of the alias `row` that the candidates replace."""
        return f"{_OF_DAYS} AND {_REPLACED[self.kind]}".format(row=row)

    def parameters(self, sql: str, more: Mapping[str, Parameter] | None = None) -> dict[str, Parameter]:
        """Return the parameters, of these and of `more`, that a statement uses."""
        used = set(re.findall(r"@(\w+)", sql))
        return {name: value for name, value in {**self.given, **(more or {})}.items() if name in used}


async def slice_of(
    context: Context, candidates: str, table: str, *, kind: Kind, provider: str, bill_table: str = ""
) -> Slice:
    """Return the slice of a run. `bill_table`: the raw table of a bill."""
    given = {
        "org_slug": Parameter("STRING", context.org_slug),
        "pipeline_id": Parameter("STRING", context.pipeline_id),
        "credential_id": Parameter("STRING", context.credential_id),
        "provider": Parameter("STRING", provider),
        "first_day": Parameter("DATE", context.start_date),
        "last_day": Parameter("DATE", context.end_date),
    }
    if kind == "account":
        given |= await _days_of_account(context, candidates, given)
    if kind != "bill":
        return Slice(kind, given)
    given |= {
        "bill_table": Parameter("STRING", bill_table),
        "first_month": Parameter("DATE", context.start_date.replace(day=1)),
        "last_month": Parameter("DATE", context.end_date),
    }
    tables = [candidates, table]
    if await context.warehouse.columns(SUPERSEDED):
        tables.append(SUPERSEDED)
    # Charges of a period may be on days before or after it; a change has to name the days that it affects.
    days = " UNION ALL ".join(
        f"SELECT t.x_pipeline_run_date AS day FROM {bigquery_name(name)} AS t"
        f" WHERE t.x_org_slug = @org_slug AND {_OF_BILL.format(row='t')}"
        for name in tables
    )
    sql = f"SELECT MIN(day) AS first_day, MAX(day) AS last_day FROM ({days})"
    named = Slice(kind, given).parameters(sql)
    (found,) = (await context.warehouse.query(sql, named)).rows
    if found["first_day"] is not None:
        given |= {name: Parameter("DATE", found[name]) for name in ("first_day", "last_day")}
    return Slice(kind, given)


async def _days_of_account(context: Context, candidates: str, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the days that the run has converted besides its own, and the first and last of all of them."""
    run_id = Parameter("STRING", context.run_id)
    sql = (
        f"SELECT DISTINCT t.x_pipeline_run_date AS day FROM {bigquery_name(candidates)} AS t"
        " WHERE t.x_org_slug = @org_slug AND t.x_Provider = @provider AND t.x_run_id = @run_id ORDER BY day"
    )
    named = Slice("account", {**given, "run_id": run_id}).parameters(sql)
    days = [row["day"] for row in (await context.warehouse.query(sql, named, rows_max=DAYS_MAX)).rows]
    return {
        "run_id": run_id,
        "run_first": given["first_day"],
        "run_last": given["last_day"],
        "run_days": Parameter("ARRAY<DATE>", days),
        "first_day": Parameter("DATE", min([context.start_date, *days])),
        "last_day": Parameter("DATE", max([context.end_date, *days])),
    }
