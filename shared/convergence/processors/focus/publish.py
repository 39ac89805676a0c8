"""How FOCUS charges become visible: one statement that replaces a source's slice of the table by its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convergence.config.files.precedence import load_precedence
from convergence.config.files.publication import load_publication
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter
from convergence.processors.focus import bills, precedence
from convergence.processors.focus.closed import refuse_changes
from convergence.processors.focus.corrections import OF_PERIOD, closed_parameters, is_closed
from convergence.processors.focus.slices import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How many charges of the slice are visible now; and of its candidates: how many are among these unchanged, for how
    many another source counts, and how many are of closed periods, so that differences become corrections."""

    rows: int
    entered: int
    superseded: int
    closed: int


async def publish(
    context: Context,
    candidates: str,
    table: str,
    chosen: Slice,
    *,
    left_out: str = "FALSE",
    parameters: Mapping[str, Parameter] | None = None,
) -> Published:
    """Replace the slice in `table`; return what became of its candidates.

    Charges that another source reports too count once (`precedence`). Those of closed billing periods stay: differences
    are charged in an open one (`corrections`), unless the policy refuses it. Raises `PeriodClosed` then, for a period
    that was closed after the run began, and where another source's charge of a closed period would be added or removed.
    Raises `StepFailed` for a bill that another raw table has as well (`bills`).

    `left_out`: a condition on candidates (of the alias t), with its parameters.
    """
    schemas = TableSchemas(context.configs_dir)
    columns = {column.name: column.type for column in schemas.get(table).columns}
    for name in (candidates, table):
        await context.warehouse.ensure_table(name)
    await context.warehouse.ensure_table(precedence.superseded(schemas, table))
    await bills.refuse_second(context, candidates, table, chosen)
    periods = [period for period in await context.billing_periods() if period.status == "Closed"]
    corrects = bool(periods) and load_publication(context.configs_dir).late == "corrected"
    what = publication(candidates, table, columns, chosen, left_out, corrects=corrects)
    first, last = (chosen.given[name].value for name in ("first_day", "last_day"))
    more = {
        **precedence.declared(load_precedence(context.configs_dir), first, last),
        **closed_parameters(periods, context.run_id),
        **(parameters or {}),
    }

    async def refuse(these: Sequence[BillingPeriod], coming: str, going: str) -> None:
        given = chosen.parameters(f"{coming} {going}", more)
        await refuse_changes(context, these, coming, going, columns, given)

    plain = replace(what, corrects=False)
    meanwhile = [period for period in periods if period.updated_at > context.started_at]
    await refuse(meanwhile if corrects else periods, precedence.coming(plain), precedence.going(plain))
    if corrects:  # only a source's own charges are corrected
        await refuse(periods, precedence.returning(what), precedence.beaten(what))
    for make in (precedence.setting_aside, precedence.publishing, precedence.tidying):
        sql = make(what)
        await context.warehouse.query(sql, chosen.parameters(sql, more), write=True, repeatable=True)
    return await _published(context, what, chosen, more)


async def _published(
    context: Context, what: precedence.Publication, chosen: Slice, more: Mapping[str, Parameter]
) -> Published:
    visible, aside = bigquery_name(what.table), bigquery_name(precedence.SUPERSEDED)
    closed = is_closed("t") if what.corrects else "FALSE"
    counts = {
        "rows": f"FROM {visible} AS t WHERE {chosen.mine}",
        "entered": f"FROM {visible} AS t WHERE {chosen.mine} AND NOT {closed} AND t.{OF_PERIOD} IS NULL",
        "superseded": f"FROM {aside} AS t WHERE {chosen.mine} AND NOT {closed} AND t.{OF_PERIOD} IS NULL",
        "closed": f"FROM {bigquery_name(what.candidates)} AS t WHERE {what.mine} AND {closed}",
    }
    sql = f"SELECT {', '.join(f'(SELECT COUNT(*) {rows}) AS n_{name}' for name, rows in counts.items())}"
    (row,) = (await context.warehouse.query(sql, chosen.parameters(sql, more))).rows
    return Published(**{name: int(row[f"n_{name}"]) for name in counts})


def publication(
    candidates: str, table: str, columns: Mapping[str, str], chosen: Slice, left_out: str, *, corrects: bool = False
) -> precedence.Publication:
    """Return what the source publishes. `columns`: name to type."""
    return precedence.Publication(
        candidates=candidates,
        table=table,
        columns=columns,
        mine=f"{chosen.mine} AND NOT ({left_out})",
        replaced=chosen.replaced("kept"),
        corrects=corrects,
    )
