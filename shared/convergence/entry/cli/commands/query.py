"""`convergence query`: GoogleSQL on an org's data."""

from __future__ import annotations

import sys

import click

from convergence.engine.dispatch import dataset_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output, cell
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import Denied, InvalidInput, StepFailed
from convergence.ports.warehouse import QueryResult, Scope, Statement


@click.command("query", cls=Command)
@click.argument("org")
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with a header.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Rows at most.")
@click.pass_obj
def command(session: Session, org: str, sql: str, as_csv: bool, limit: int) -> int:
    """Run one GoogleSQL SELECT on the dataset of ORG. `-` reads the statement from stdin.

    Numbers of type NUMERIC are text in JSON, digit by digit.

    \b
    Example:
      convergence query acme "SELECT x_Model, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
    """
    if as_csv and session.out.json:
        raise InvalidInput("--csv and --json cannot go together")
    if session.server() is not None:
        not_there("run SQL", "ask BigQuery, or run this where the data directory is")
    result = session.go(_query(session, org, sys.stdin.read() if sql == "-" else sql, limit))
    if as_csv:
        write_csv(session.out, result)
    elif session.out.json:
        session.out.data({"columns": result.columns, "rows": result.rows})
    elif result.columns:
        rows = [[row[name] for name in result.columns] for row in result.rows]
        numbers = {
            index
            for index, name in enumerate(result.columns)
            if rows and all(isinstance(row[name], int | float) or hasattr(row[name], "as_tuple") for row in result.rows)
        }
        session.out.table(result.columns, rows, right=numbers)
    if len(result.rows) == limit:
        session.out.note(f"only the first {limit:,} rows are shown; --limit shows more")
    return 0


async def _query(session: Session, org: str, sql: str, limit: int) -> QueryResult:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"query {org}") as writer:
        await writer.write_log()
        scope = Scope(dataset=dataset_of(writer.services, org))
        try:
            return await writer.services.warehouse.query(Statement(sql, scope=scope, rows_max=limit))
        except (StepFailed, Denied) as error:  # here the statement is what the caller gave
            raise InvalidInput(str(error)) from error


def write_csv(out: Output, result: QueryResult) -> None:
    """Print CSV as RFC 4180 has it, but with the line ends of this system."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([cell(row[name]) for name in result.columns] for row in result.rows)
    out.line(text.getvalue().rstrip("\n"))
