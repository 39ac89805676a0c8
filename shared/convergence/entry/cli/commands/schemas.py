"""`convergence schemas`: the schemas of an org's tables."""

from __future__ import annotations

import click

from convergence.config.files.written_schema import schema_file
from convergence.engine.services import dataset_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import NotFound
from convergence.ports.warehouse import Column


@click.group("schemas")
def command() -> None:
    """Write schema files from tables."""


@command.command("infer", cls=Command)
@click.argument("org")
@click.argument("table")
@click.pass_obj
def infer(session: Session, org: str, table: str) -> int:
    """Print the schema file of a table of ORG, such as one whose columns were inferred from its data.

    \b
    Example:
      convergence schemas infer acme acme_orders_daily_raw > configs/acme/usage/schemas/acme_orders_daily_raw.json
    """
    if session.server() is not None:
        not_there("read a table's schema", "ask BigQuery, or run this where the data directory is")
    session.out.line(schema_file(session.go(_columns(session, org, table))).rstrip("\n"))
    return 0


async def _columns(session: Session, org: str, table: str) -> tuple[Column, ...]:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"schemas infer {org}") as writer:
        columns = await writer.services.warehouse.columns(dataset_of(writer.services, org), table)
    if not columns:
        raise NotFound(f"{org} has no table {table[:100]!r}")
    return columns
