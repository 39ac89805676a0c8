"""How FOCUS charges become visible: one statement that replaces a source's days in the table by its candidates.

Of each provider, credential and day the charges of one pipeline are kept, whichever pipeline wrote them before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from convergence.config.files.table_schema import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.closed import refuse_changes

Kind = Literal["usage", "seats"]
MINE: Final = (
    "t.x_org_slug = @org_slug AND t.x_pipeline_id = @pipeline_id AND t.x_credential_id = @credential_id"
    " AND t.x_pipeline_run_date BETWEEN @first_day AND @last_day"
)
# Its bill is that of a whole cloud account: a service of it that has a pipeline of its own is charged by that one.
WHOLE_ACCOUNT: Final = "gcp"
TAKEN_OVER: Final = ("BillingAccountId", "ServiceName", "x_pipeline_run_date")
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

    Raises `PeriodClosed` when a charge of a closed billing period would change.

    `left_out`: a condition on candidates (of the alias t), with its parameters.
    """
    columns = {column.name: column.type for column in TableSchemas(context.configs_dir).get(table).columns}
    takes_over = provider != WHOLE_ACCOUNT and kind == "usage"
    given = {**scope(context), "provider": Parameter("STRING", provider), **(parameters or {})}
    if takes_over:
        given["whole"] = Parameter("STRING", WHOLE_ACCOUNT)
    coming = f"FROM {bigquery_name(candidates)} AS t WHERE {MINE} AND NOT ({left_out})"
    await refuse_changes(context, coming, _going(candidates, table, kind, takes_over=takes_over), columns, given)
    sql = publication(candidates, table, columns, kind, left_out, takes_over=takes_over)
    await context.warehouse.query(sql, given, write=True, repeatable=True)
    count = f"SELECT COUNT(*) AS n FROM {bigquery_name(table)} AS t WHERE {MINE}"
    (row,) = (await context.warehouse.query(count, scope(context))).rows
    return int(row["n"])


def publication(
    candidates: str, table: str, columns: Mapping[str, str], kind: Kind, left_out: str, *, takes_over: bool
) -> str:
    """Return the statement: all rows that are replaced go, and all candidates come.

    Candidates match nothing. With `takes_over` the source also has a row for each service and day of them, which
    matches what the bill of a whole account says about these, so that goes too. `columns`: name to type.
    """
    names = ", ".join(map(bigquery_name, columns))
    values = ", ".join(f"new.{bigquery_name(name)}" for name in columns)
    source = f"SELECT TRUE AS x_is_new, {names} FROM {bigquery_name(candidates)} AS t WHERE {MINE} AND NOT ({left_out})"
    matching = "FALSE"
    if takes_over:
        source += f" UNION ALL {_taken_over(candidates, columns)}"
        same = (f"kept.{name} = new.{name}" for name in map(bigquery_name, TAKEN_OVER))
        matching = (
            f"NOT new.x_is_new AND kept.x_org_slug = @org_slug AND kept.x_Provider = @whole AND {' AND '.join(same)}"
            " AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day"
        )
    return (
        f"MERGE INTO {bigquery_name(table)} AS kept USING ({source}) AS new ON {matching}"
        " WHEN MATCHED THEN DELETE"
        " WHEN NOT MATCHED BY SOURCE AND kept.x_org_slug = @org_slug"
        f" AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day AND {REPLACED[kind]} THEN DELETE"
        f" WHEN NOT MATCHED AND new.x_is_new THEN INSERT ({names}) VALUES ({values})"
    )


def _going(candidates: str, table: str, kind: Kind, *, takes_over: bool) -> str:
    """Return FROM and WHERE of the charges that the publication removes."""
    gone = f"({REPLACED[kind]})"
    if takes_over:
        same = " AND ".join(f"t.{name} = kept.{name}" for name in TAKEN_OVER)
        gone += (
            f" OR (kept.x_Provider = @whole AND EXISTS (SELECT 1 FROM {bigquery_name(candidates)} AS t"
            f" WHERE {MINE} AND t.x_UsageKind = 'bill' AND {same}))"
        )
    return (
        f"FROM {bigquery_name(table)} AS kept WHERE kept.x_org_slug = @org_slug"
        f" AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day AND ({gone})"
    )


def _taken_over(candidates: str, columns: Mapping[str, str]) -> str:
    """Return the query of the days, accounts and services that candidates are billed for, as rows of the table."""
    values = (
        f"t.{bigquery_name(name)}" if name in TAKEN_OVER else f"CAST(NULL AS {kind})" for name, kind in columns.items()
    )
    return (
        f"SELECT DISTINCT FALSE, {', '.join(values)} FROM {bigquery_name(candidates)} AS t"
        f" WHERE {MINE} AND t.x_UsageKind = 'bill'"
    )
