"""`convergence query`: GoogleSQL on an org's data."""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

import click

from convergence.engine.services import dataset_of
from convergence.engine.views.query import ROWS_MAX, TIMEOUT_MAX_S, QueryAnswer, result_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.results import show
from convergence.entry.cli.server import Server, not_there, quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import Denied, InvalidInput, StepFailed
from convergence.ports.warehouse import ParquetWriter, QueryResult, Scope, Statement

_FORMS: Final = ("table", "vertical", "csv", "json", "parquet")


@click.command("query", cls=Command)
@click.argument("org")
@click.argument("sql")
@click.option(
    "--output",
    "form",
    type=click.Choice(_FORMS),
    help="How rows are printed: vertical is one value per line; parquet is for a pipe or file.",
)
@click.option("--csv", "as_csv", is_flag=True, help="The same as --output csv.")
@click.option(
    "--parquet",
    "parquet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="To this Parquet file, with the types of the columns.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=ROWS_MAX, show_default=True, help="Maximum number of rows."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 86_400),
    default=600.0,
    show_default=True,
    help="Maximum run time of the statement, in seconds.",
)
@click.pass_obj
def command(
    session: Session,
    org: str,
    sql: str,
    form: str | None,
    as_csv: bool,
    parquet: Path | None,
    limit: int,
    timeout_s: float,
) -> int:
    """Run one GoogleSQL SELECT on the dataset of ORG. `-` reads the statement from stdin.

    While `convergence serve` has the data, it answers, with at most 10,000 rows and within a minute.

    Numbers of type NUMERIC are text in JSON, digit by digit; times in CSV are YYYY-MM-DDTHH:mm:ssZ, as FOCUS has them.

    \b
    Example:
      convergence query acme "SELECT x_Model, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
      convergence query acme "SELECT * FROM cost_data_standard_1_3 LIMIT 1" --output vertical
    """
    form = _form(session, form, parquet, as_csv=as_csv)
    server = session.server(writes=True)
    if server is not None and form == "parquet":
        not_there("write Parquet", "use --output csv, or run this where the data directory is while no server has it")
    text = sys.stdin.read() if sql == "-" else sql
    if parquet is not None:
        if not parquet.absolute().parent.is_dir():
            raise InvalidInput(f"there is no folder {str(parquet.parent)!r} to write into: make it first")
        written = session.go(_write(session, org, text, limit, timeout_s, parquet))
        found = {"file": str(parquet), "rows": written}
        session.out.data(found) if session.out.json else session.out.line(f"{written} rows in {parquet}")
        return 0
    if form == "parquet":
        _to_stdout(session, org, text, limit, timeout_s)
        return 0
    if server is not None:
        result = _ask(server, org, text, limit, timeout_s)
    else:
        result = session.go(_query(session, org, text, limit, timeout_s))
    show(session.out, result, form)
    if len(result.rows) == limit:
        session.out.note(f"only the first {limit:,} rows are shown; --limit shows more")
    return 0


def _form(session: Session, form: str | None, parquet: Path | None, *, as_csv: bool) -> str:
    """Return the one form that the options name; `table` without any. Raises `InvalidInput` for two."""
    named = {
        "--output": form,
        "--csv": "csv" if as_csv else None,
        "--json": "json" if session.out.json and parquet is None else None,
        "--parquet": "parquet" if parquet is not None else None,
    }
    chosen = [(option, value) for option, value in named.items() if value is not None]
    for (first, value), (second, other) in pairwise(chosen):
        if value != other:
            raise InvalidInput(f"{first} and {second} cannot be combined")
    return chosen[0][1] if chosen else "table"


def _ask(server: Server, org: str, sql: str, limit: int, timeout_s: float) -> QueryResult:
    """Return the rows that the server which has the data answers with."""
    if limit > ROWS_MAX:
        raise InvalidInput(f"--limit is at most {ROWS_MAX:,} through a server, not {limit:,}")
    body = {"sql": sql, "limit": limit, "timeout_s": min(timeout_s, TIMEOUT_MAX_S)}
    return result_of(cast("QueryAnswer", server.ask("POST", f"/query/{quoted(org)}", json=body)))


def rows_of(session: Session, org: str, sql: str) -> QueryResult:
    """Return the rows of a statement, from the server that has the data or from the data directory."""
    server = session.server(writes=True)
    if server is not None:
        return _ask(server, org, sql, ROWS_MAX, TIMEOUT_MAX_S)
    return session.go(_query(session, org, sql, ROWS_MAX, TIMEOUT_MAX_S))


def _to_stdout(session: Session, org: str, sql: str, limit: int, timeout_s: float) -> None:
    if sys.stdout.isatty():
        raise InvalidInput("Parquet is not for a terminal; redirect it to a file, or name one with --parquet FILE")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        session.go(_write(session, org, sql, limit, timeout_s, file))
        sys.stdout.buffer.write(file.read_bytes())


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
