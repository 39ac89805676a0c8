"""`convergence query`: GoogleSQL on an org's data."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from convergence.engine.services import dataset_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output, cell
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import Denied, InvalidInput, StepFailed
from convergence.ports.warehouse import ParquetWriter, QueryResult, Scope, Statement


@click.command("query", cls=Command)
@click.argument("org")
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with a header.")
@click.option(
    "--parquet",
    "parquet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="To this Parquet file, with the types of the columns.",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Rows at most.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 86_400),
    default=600.0,
    show_default=True,
    help="Seconds that the statement may take.",
)
@click.pass_obj
def command(
    session: Session, org: str, sql: str, as_csv: bool, parquet: Path | None, limit: int, timeout_s: float
) -> int:
    """Run one GoogleSQL SELECT on the dataset of ORG. `-` reads the statement from stdin.

    Numbers of type NUMERIC are text in JSON, digit by digit; times in CSV are YYYY-MM-DDTHH:mm:ssZ, as FOCUS has them.

    \b
    Example:
      convergence query acme "SELECT x_Model, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
    """
    if as_csv and session.out.json:
        raise InvalidInput("--csv and --json cannot go together")
    if parquet is not None and as_csv:
        raise InvalidInput("--csv and --parquet cannot go together")
    if session.server() is not None:
        not_there("run SQL", "ask BigQuery, or run this where the data directory is")
    text = sys.stdin.read() if sql == "-" else sql
    if parquet is not None:
        written = session.go(_write(session, org, text, limit, timeout_s, parquet))
        found = {"file": str(parquet), "rows": written}
        session.out.data(found) if session.out.json else session.out.line(f"{written} rows in {parquet}")
        return 0
    result = session.go(_query(session, org, text, limit, timeout_s))
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


async def _query(session: Session, org: str, sql: str, limit: int, timeout_s: float) -> QueryResult:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"query {org}") as writer:
        await writer.write_log()
        scope = Scope(dataset=dataset_of(writer.services, org))
        statement = Statement(sql, scope=scope, rows_max=limit, timeout_s=timeout_s)
        try:
            return await writer.services.warehouse.query(statement)
        except (StepFailed, Denied) as error:  # here the statement is what the caller gave
            raise InvalidInput(str(error)) from error


async def _write(session: Session, org: str, sql: str, limit: int, timeout_s: float, path: Path) -> int:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"query {org}") as writer:
        await writer.write_log()
        warehouse = writer.services.warehouse
        if not isinstance(warehouse, ParquetWriter):
            raise InvalidInput("this warehouse writes no files: export the table there")
        scope = Scope(dataset=dataset_of(writer.services, org))
        statement = Statement(sql, scope=scope, rows_max=limit, timeout_s=timeout_s)
        try:
            return await warehouse.write_parquet(statement, path)
        except (StepFailed, Denied) as error:
            raise InvalidInput(str(error)) from error


def write_csv(out: Output, result: QueryResult) -> None:
    """Print CSV as RFC 4180 has it, but with the line ends of this system."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([_csv_cell(row[name]) for name in result.columns] for row in result.rows)
    out.line(text.getvalue().rstrip("\n"))


def _csv_cell(value: Any) -> str:
    """Return a value as CSV has it: times to the second in UTC, because readers of FOCUS files know no other form."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return cell(value)
