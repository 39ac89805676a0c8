"""How FOCUS charges become visible: one statement that replaces a source's slice of the table by its candidates."""

from __future__ import annotations

from collections.abc import Mapping

from convergence.config.files.precedence import load_precedence
from convergence.config.files.table_schema import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus import precedence
from convergence.processors.focus.closed import refuse_changes
from convergence.processors.focus.slices import Slice


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

    Charges that another source reports too count once (`precedence`). Raises `PeriodClosed` when a charge of a closed
    billing period would change.

    `left_out`: a condition on candidates (of the alias t), with its parameters.
    """
    schemas = TableSchemas(context.configs_dir)
    columns = {column.name: column.type for column in schemas.get(table).columns}
    for name in (candidates, table):
        await context.warehouse.ensure_table(name)
    await context.warehouse.ensure_table(precedence.superseded(schemas, table))
    what = publication(candidates, table, columns, chosen, left_out)
    first, last = (chosen.given[name].value for name in ("first_day", "last_day"))
    more = {**precedence.declared(load_precedence(context.configs_dir), first, last), **(parameters or {})}
    coming, going = precedence.coming(what), precedence.going(what)
    await refuse_changes(context, coming, going, columns, chosen.parameters(f"{coming} {going}", more))
    for make in (precedence.setting_aside, precedence.publishing, precedence.tidying):
        sql = make(what)
        await context.warehouse.query(sql, chosen.parameters(sql, more), write=True, repeatable=True)
    return await count(context, table, chosen)


async def count(context: Context, table: str, chosen: Slice) -> int:
    """Return how many charges of the slice a table has."""
    sql = f"SELECT COUNT(*) AS n FROM {bigquery_name(table)} AS t WHERE {chosen.mine}"
    (row,) = (await context.warehouse.query(sql, chosen.parameters(sql))).rows
    return int(row["n"])


def publication(
    candidates: str, table: str, columns: Mapping[str, str], chosen: Slice, left_out: str
) -> precedence.Publication:
    """Return what the source publishes. `columns`: name to type."""
    return precedence.Publication(
        candidates=candidates,
        table=table,
        columns=columns,
        mine=f"{chosen.mine} AND NOT ({left_out})",
        replaced=chosen.replaced("kept"),
    )
