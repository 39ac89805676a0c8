"""How FOCUS charges become visible: one statement that replaces a source's days in the table by its candidates.

Of each provider, credential and day the charges of one pipeline are kept, whichever pipeline wrote them before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from convergence.config.files.table_schema import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter

Kind = Literal["usage", "seats"]
MINE: Final = (
    "t.x_org_slug = @org_slug AND t.x_pipeline_id = @pipeline_id AND t.x_credential_id = @credential_id"
    " AND t.x_pipeline_run_date BETWEEN @first_day AND @last_day"
)
# Its bill is that of a whole cloud account: a service of it that has a pipeline of its own is charged by that one.
WHOLE_ACCOUNT: Final = "gcp"
# Seats are charged once for the org; usage once for each credential.
REPLACED: Final[Mapping[Kind, str]] = {
    "usage": (
        "kept.x_credential_id = @credential_id AND kept.x_UsageKind IS DISTINCT FROM 'subscription'"
        " AND (kept.x_pipeline_id = @pipeline_id OR kept.x_Provider = @provider)"
    ),
    "seats": "kept.x_UsageKind = 'subscription'",
}


def scope(context: Context) -> dict[str, Parameter]:
    """Return the parameters of `MINE`: rows of this pipeline and credential, for the days of the run."""
    return {
        "org_slug": Parameter("STRING", context.org_slug),
        "pipeline_id": Parameter("STRING", context.pipeline_id),
        "credential_id": Parameter("STRING", context.credential_id),
        "first_day": Parameter("DATE", context.start_date),
        "last_day": Parameter("DATE", context.end_date),
    }


async def publish(
    context: Context,
    candidates: str,
    table: str,
    *,
    provider: str,
    kind: Kind,
    left_out: str = "FALSE",
    parameters: Mapping[str, Parameter] | None = None,
) -> int:
    """Replace the provider's days in `table`; return how many charges are there now.

    `left_out`: a condition on candidates (of the alias t), with its parameters.
    """
    if provider != WHOLE_ACCOUNT and kind == "usage":
        sql = taking_over(candidates, table)
        needed = {**scope(context), "whole": Parameter("STRING", WHOLE_ACCOUNT)}
        await context.warehouse.query(sql, needed, write=True, repeatable=True)
    columns = [column.name for column in TableSchemas(context.configs_dir).get(table).columns]
    sql = publication(candidates, table, columns, kind, left_out)
    given = {**scope(context), "provider": Parameter("STRING", provider), **(parameters or {})}
    await context.warehouse.query(sql, given, write=True, repeatable=True)
    count = f"SELECT COUNT(*) AS n FROM {bigquery_name(table)} AS t WHERE {MINE}"
    (row,) = (await context.warehouse.query(count, scope(context))).rows
    return int(row["n"])


def taking_over(candidates: str, table: str) -> str:
    """Return the statement that removes what the bill of a whole account says about a candidate's service and day."""
    return (
        f"DELETE FROM {bigquery_name(table)} AS kept WHERE kept.x_org_slug = @org_slug AND kept.x_Provider = @whole"
        " AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day AND EXISTS ("
        f"SELECT 1 FROM {bigquery_name(candidates)} AS t WHERE {MINE} AND t.x_UsageKind = 'bill'"
        " AND t.x_pipeline_run_date = kept.x_pipeline_run_date AND t.BillingAccountId = kept.BillingAccountId"
        " AND t.ServiceName = kept.ServiceName)"
    )


def publication(candidates: str, table: str, columns: Sequence[str], kind: Kind, left_out: str) -> str:
    """Return the statement: nothing matches, so all rows that are replaced go, and all candidates come."""
    names = ", ".join(map(bigquery_name, columns))
    values = ", ".join(f"new.{bigquery_name(name)}" for name in columns)
    return (
        f"MERGE INTO {bigquery_name(table)} AS kept"
        f" USING (SELECT * FROM {bigquery_name(candidates)} AS t WHERE {MINE} AND NOT ({left_out})) AS new ON FALSE"
        " WHEN NOT MATCHED BY SOURCE AND kept.x_org_slug = @org_slug"
        f" AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day AND {REPLACED[kind]} THEN DELETE"
        f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )
