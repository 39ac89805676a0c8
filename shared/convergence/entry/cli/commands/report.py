"""`convergence report`: questions about an org's cost that have a name."""

from __future__ import annotations

from typing import cast

import click

from convergence.config.files.reports import Report, find_report, load_reports
from convergence.engine.services import dataset_of
from convergence.engine.views.query import ROWS_MAX, TIMEOUT_MAX_S, QueryAnswer, result_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.results import show
from convergence.entry.cli.server import Server, quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput
from convergence.ports.warehouse import QueryResult, Scope, Statement


@click.command("report", cls=Command)
@click.argument("org")
@click.argument("name", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of a table.")
@click.option("--views", is_flag=True, help="Print statements that make the reports views in BigQuery; run nothing.")
@click.pass_obj
def command(session: Session, org: str, name: str | None, as_csv: bool, views: bool) -> int:
    """Answer the question NAME about the cost of ORG; without NAME, list the questions.

    \b
    Example:
      convergence report acme by_model
      convergence report acme forecast --csv
    """
    if as_csv and session.out.json:
        raise InvalidInput("--csv and --json cannot go together")
    reports = load_reports(session.configs_dir) if name is None else {name: find_report(session.configs_dir, name)}
    if views:
        where = (session.project_id, f"{org}_{session.env}")
        session.out.line("\n\n".join(f"{report.view(*where)};" for report in reports.values()))
    elif name is None:
        rows = [{"name": report.name, "shows": report.about} for report in reports.values()]
        show(session.out, QueryResult(columns=("name", "shows"), rows=rows), _form(session, as_csv=as_csv))
    else:
        server = session.server(writes=True)
        found = session.go(_read(session, org, reports[name])) if server is None else _ask(server, org, reports[name])
        show(session.out, found, _form(session, as_csv=as_csv))
        if len(found.rows) == ROWS_MAX:
            session.out.note(f"only the first {ROWS_MAX:,} rows are shown")
    return 0


def _form(session: Session, *, as_csv: bool) -> str:
    return "json" if session.out.json else "csv" if as_csv else "table"


def _ask(server: Server, org: str, report: Report) -> QueryResult:
    body = {"sql": report.sql(), "limit": ROWS_MAX, "timeout_s": TIMEOUT_MAX_S}
    return result_of(cast("QueryAnswer", server.ask("POST", f"/query/{quoted(org)}", json=body)))


async def _read(session: Session, org: str, report: Report) -> QueryResult:
    """Return the rows; tables that no pipeline has written yet are made empty."""
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"report {org}") as writer:
        await writer.write_log()
        services, dataset = writer.services, dataset_of(writer.services, org)
        for table in sorted(report.tables):
            await services.warehouse.ensure_table(dataset, services.schemas.get(table))
        scope = Scope(dataset=dataset)
        return await services.warehouse.query(Statement(report.sql(), scope=scope, rows_max=ROWS_MAX))
