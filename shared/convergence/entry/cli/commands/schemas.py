"""`convergence schemas`: tables and the files that describe them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from convergence.config.files.schemas.written import schema_file
from convergence.engine.schema_sync import ORGS_AT_ONCE, answer, sync_all_schemas
from convergence.engine.services import dataset_of
from convergence.entry.cli.all_orgs import pages
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput, NotFound
from convergence.ports.warehouse import Column
from convergence.processors.generic.landing.names import column_name


@click.group("schemas")
def command() -> None:
    """Write schema files from tables, and bring tables up to date with them."""


@command.command("infer", cls=Command)
@click.argument("org", required=False)
@click.argument("table", required=False)
@click.option("--parquet", type=click.Path(path_type=Path), metavar="FILE", help="Of this file instead of a table.")
@click.pass_obj
def infer(session: Session, org: str | None, table: str | None, parquet: Path | None) -> int:
    """Print the schema file of TABLE of ORG, such as one whose columns were inferred from its data.

    With --parquet, of the rows of a Parquet file, which has the types of its columns.

    \b
    Example:
      convergence schemas infer acme acme_orders_daily_raw > configs/acme/usage/schemas/acme_orders_daily_raw.json
      convergence schemas infer --parquet orders.parquet > configs/acme/usage/schemas/acme_orders_daily_raw.json
    """
    if parquet is not None:
        if org is not None:
            raise InvalidInput("name a table, or --parquet and a file")
        return _of_file(session, parquet)
    if org is None or table is None:
        raise InvalidInput("name an org and a table, or --parquet and a file")
    if session.server() is not None:
        not_there("read a table's schema", "ask BigQuery, or run this where the data directory is")
    session.out.line(schema_file(session.go(_columns(session, org, table))).rstrip("\n"))
    return 0


def _of_file(session: Session, file: Path) -> int:
    """Columns whose names no table can have get others; `config.columns` says so to the step that loads the file."""
    columns, renamed, taken = list[Column](), dict[str, str](), set[str]()
    for column in session.installation.parquet_columns(file):
        name = column_name(column.name, "", taken)
        taken.add(name.lower())
        columns.append(replace(column, name=name))
        if name != column.name:
            renamed[name] = column.name
    session.out.line(schema_file(columns).rstrip("\n"))
    if renamed:
        session.out.note(
            f"columns have other names in the file; set in the step: config.columns: {json.dumps(renamed)}"
        )
    return 0


@command.command("sync", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only list the columns that would be added.")
@click.pass_obj
def sync(session: Session, dry_run: bool) -> int:
    """Add new columns to existing tables of every org. A type that changed is reported; then exit 1.

    \b
    Example:
      convergence schemas sync --dry-run
    """

    async def work() -> Any:
        session.check_configs()
        async with session.writing("schemas sync") as writer:
            return answer(await sync_all_schemas(writer.services, dry_run=dry_run), dry_run=dry_run)

    server = session.server(writes=True)
    if server is None:
        done = session.go(work())
    else:
        asked = {"dry_run": "true" if dry_run else "false", "limit": str(ORGS_AT_ONCE)}
        done = {"dry_run": dry_run, "added": {}, "failed": {}}
        for page in pages(server, "/schemas/sync", asked, orgs=lambda page: int(page["orgs"]), out=session.out):
            done["added"] |= page["added"]
            done["failed"] |= page["failed"]
    if session.out.json:
        session.out.data(done)
    else:
        lines = [f"{table}  {', '.join(columns)}" for table, columns in done["added"].items()]
        session.out.line("\n".join(lines) or "nothing to add")
        for table, reason in done["failed"].items():
            session.out.note(f"failed {table}: {reason}")
    return 1 if done["failed"] else 0


async def _columns(session: Session, org: str, table: str) -> tuple[Column, ...]:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"schemas infer {org}") as writer:
        columns = await writer.services.warehouse.columns(dataset_of(writer.services, org), table)
    if not columns:
        raise NotFound(f"{org} has no table {table[:100]!r}")
    return columns
