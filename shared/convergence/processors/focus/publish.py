"""How FOCUS charges become visible: one statement that replaces a source's slice of the table by its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from convergence.config.files.table_schema import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.closed import refuse_changes
from convergence.processors.focus.slices import Slice

# Its bill is that of a whole cloud account: a service of it that has a pipeline of its own is charged by that one.
WHOLE_ACCOUNT: Final = "gcp"
TAKEN_OVER: Final = ("BillingAccountId", "ServiceName", "x_pipeline_run_date")


async def publish(
    context: Context,
    candidates: str,
    table: str,
    chosen: Slice,
    *,
    left_out: str = "FALSE",
    parameters: Mapping[str, Parameter] | None = None,
) -> int:
    """Replace the slice in `table`; return how many charges are there now.

    Raises `PeriodClosed` when a charge of a closed billing period would change.

    `left_out`: a condition on candidates (of the alias t), with its parameters.
    """
    columns = {column.name: column.type for column in TableSchemas(context.configs_dir).get(table).columns}
    takes_over = chosen.kind == "usage" and chosen.given["provider"].value != WHOLE_ACCOUNT
    more = {"whole": Parameter("STRING", WHOLE_ACCOUNT), **(parameters or {})}
    coming = f"FROM {bigquery_name(candidates)} AS t WHERE {chosen.mine} AND NOT ({left_out})"
    going = _going(candidates, table, chosen, takes_over=takes_over)
    await refuse_changes(context, coming, going, columns, chosen.parameters(f"{coming} {going}", more))
    sql = publication(candidates, table, columns, chosen, left_out, takes_over=takes_over)
    await context.warehouse.query(sql, chosen.parameters(sql, more), write=True, repeatable=True)
    count = f"SELECT COUNT(*) AS n FROM {bigquery_name(table)} AS t WHERE {chosen.mine}"
    (row,) = (await context.warehouse.query(count, chosen.parameters(count))).rows
    return int(row["n"])


def publication(
    candidates: str, table: str, columns: Mapping[str, str], chosen: Slice, left_out: str, *, takes_over: bool
) -> str:
    """Return the statement: all rows that are replaced go, and all candidates come.

    Candidates match nothing. With `takes_over` the source also has a row for each service and day of them, which
    matches what the bill of a whole account says about these, so that goes too. `columns`: name to type.
    """
    names = ", ".join(map(bigquery_name, columns))
    values = ", ".join(f"new.{bigquery_name(name)}" for name in columns)
    rows = f"{bigquery_name(candidates)} AS t WHERE {chosen.mine}"
    source = f"SELECT TRUE AS x_is_new, {names} FROM {rows} AND NOT ({left_out})"
    matching = "FALSE"
    if takes_over:
        source += f" UNION ALL {_taken_over(candidates, columns, chosen)}"
        same = (f"kept.{name} = new.{name}" for name in map(bigquery_name, TAKEN_OVER))
        matching = (
            f"NOT new.x_is_new AND kept.x_org_slug = @org_slug AND kept.x_Provider = @whole AND {' AND '.join(same)}"
            " AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day"
        )
    return (
        f"MERGE INTO {bigquery_name(table)} AS kept USING ({source}) AS new ON {matching}"
        " WHEN MATCHED THEN DELETE"
        f" WHEN NOT MATCHED BY SOURCE AND {chosen.replaced('kept')} THEN DELETE"
        f" WHEN NOT MATCHED AND new.x_is_new THEN INSERT ({names}) VALUES ({values})"
    )


def _going(candidates: str, table: str, chosen: Slice, *, takes_over: bool) -> str:
    """Return FROM and WHERE of the charges that the publication removes."""
    gone = f"({chosen.replaced('kept')})"
    if takes_over:
        same = " AND ".join(f"t.{name} = kept.{name}" for name in TAKEN_OVER)
        gone += (
            f" OR (kept.x_Provider = @whole AND EXISTS (SELECT 1 FROM {bigquery_name(candidates)} AS t"
            f" WHERE {chosen.mine} AND t.x_UsageKind = 'bill' AND {same}))"
        )
    return (
        f"FROM {bigquery_name(table)} AS kept WHERE kept.x_org_slug = @org_slug"
        f" AND kept.x_pipeline_run_date BETWEEN @first_day AND @last_day AND ({gone})"
    )


def _taken_over(candidates: str, columns: Mapping[str, str], chosen: Slice) -> str:
    """Return the query of the days, accounts and services that candidates are billed for, as rows of the table."""
    values = (
        f"t.{bigquery_name(name)}" if name in TAKEN_OVER else f"CAST(NULL AS {kind})" for name, kind in columns.items()
    )
    return (
        f"SELECT DISTINCT FALSE, {', '.join(values)} FROM {bigquery_name(candidates)} AS t"
        f" WHERE {chosen.mine} AND t.x_UsageKind = 'bill'"
    )
