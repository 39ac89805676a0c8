"""`convergence tables`: what an org's dataset holds."""

from __future__ import annotations

from typing import Final

import click

from convergence.entry.cli.commands.query import rows_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session

_SQL: Final = """
SELECT table_name, COUNT(*) AS columns, STRING_AGG(column_name, ', ' ORDER BY ordinal_position) AS names
FROM INFORMATION_SCHEMA.COLUMNS GROUP BY table_name ORDER BY table_name
"""


@click.command("tables", cls=Command)
@click.argument("org")
@click.pass_obj
def command(session: Session, org: str) -> int:
    """List the tables and views of ORG's dataset with their columns.

    \b
    Example:
      convergence tables acme
    """
    result = rows_of(session, org, _SQL)
    found = [
        {"table": row["table_name"], "columns": [name.strip() for name in row["names"].split(",")]}
        for row in result.rows
    ]
    if session.out.json:
        session.out.data({"tables": found})
        return 0
    session.out.table(
        ("table", "columns", ""),
        [(each["table"], len(each["columns"]), ", ".join(each["columns"])) for each in found],
        right={1},
    )
    if not found:
        session.out.note(f"{org} has no tables yet; its first run makes them")
    return 0
