"""`convergence report`: questions about an org's cost that have a name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import cast

import click

from convergence.config.files.reports import Days, find_report, load_reports
from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.services import dataset_of
from convergence.engine.views.query import ROWS_MAX, TIMEOUT_MAX_S, QueryAnswer, result_of
from convergence.entry.cli.options import Command, Day
from convergence.entry.cli.results import show
from convergence.entry.cli.server import Server, quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput
from convergence.ports.warehouse import QueryResult, Scope, Statement


@click.command("report", cls=Command)
@click.argument("org")
@click.argument("name", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of a table.")
@click.option("--from", "first", type=Day(), metavar="DATE", help="Only charges from this day on, also TODAY-7.")
@click.option("--to", "last", type=Day(), metavar="DATE", help="Only charges up to this day.")
@click.option(
    "--views", is_flag=True, help="Print statements that create the reports as views in BigQuery; run nothing."
)
@click.pass_obj
def command(
    session: Session, org: str, name: str | None, as_csv: bool, views: bool, first: str | None, last: str | None
) -> int:
    """Answer the question NAME about the cost of ORG; without NAME, list the questions.

    Without --from and --to all days count.

    \b
    Example:
      convergence report acme by_model --from TODAY-7
      convergence report acme forecast --csv
    """
    if as_csv and session.out.json:
        raise InvalidInput("--csv and --json cannot be combined")
    days = _days(first, last)
    if (first or last) and (views or name is None):
        raise InvalidInput("--from and --to go with the name of a report, and not with --views: a view has all days")
    reports = load_reports(session.configs_dir) if name is None else {name: find_report(session.configs_dir, name)}
    if views:
        where = (session.project_id, f"{org}_{session.env}")
        session.out.line("\n\n".join(f"{report.view(*where)};" for report in reports.values()))
    elif name is None:
        rows = [{"name": report.name, "shows": report.about} for report in reports.values()]
        show(session.out, QueryResult(columns=("name", "shows"), rows=rows), _form(session, as_csv=as_csv))
    else:
        schemas = TableSchemas(session.configs_dir)
        report = reports[name]
        sql = report.sql_of_days(days, lambda table: {column.name for column in schemas.get(table).columns})
        server = session.server(writes=True)
        found = session.go(_read(session, org, sql, report.tables)) if server is None else _ask(server, org, sql)
        show(session.out, found, _form(session, as_csv=as_csv))
        if len(found.rows) == ROWS_MAX:
            session.out.note(f"only the first {ROWS_MAX:,} rows are shown")
    return 0


def _days(first: str | None, last: str | None) -> Days:
    days = Days(*(date.fromisoformat(day) if day else None for day in (first, last)))
    if days.first and days.last and days.first > days.last:
        raise InvalidInput(f"--from {days.first} is after --to {days.last}")
    return days


def _form(session: Session, *, as_csv: bool) -> str:
    return "json" if session.out.json else "csv" if as_csv else "table"


def _ask(server: Server, org: str, sql: str) -> QueryResult:
    body = {"sql": sql, "limit": ROWS_MAX, "timeout_s": TIMEOUT_MAX_S}
    return result_of(cast("QueryAnswer", server.ask("POST", f"/query/{quoted(org)}", json=body)))


async def _read(session: Session, org: str, sql: str, tables: Iterable[str]) -> QueryResult:
    """Return the rows; tables that no pipeline has written yet are made empty."""
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"report {org}") as writer:
        await writer.write_log()
        services, dataset = writer.services, dataset_of(writer.services, org)
        for table in sorted(tables):
            await services.warehouse.ensure_table(dataset, services.schemas.get(table))
        return await services.warehouse.query(Statement(sql, scope=Scope(dataset=dataset), rows_max=ROWS_MAX))
