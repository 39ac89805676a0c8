"""`convergence hierarchy`: the departments, teams and so on of an org."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from convergence.domain.hierarchy import Hierarchy
from convergence.entry.cli.csv_file import csv_text
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.tenants.hierarchies import read_hierarchy, store_hierarchy
from convergence.tenants.hierarchy_csv import read_csv, write_csv

SIZE_MAX = 4_000_000  # bytes of a file


@click.group("hierarchy")
def command() -> None:
    """Import, show and search the hierarchy of an org, to which its costs belong."""


@command.command("import", cls=Command)
@click.argument("org")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_(session: Session, org: str, file: Path) -> int:
    """Replace the hierarchy of ORG by that of the CSV FILE: node_id, name, level, parent_id; other columns are labels.

    \b
    Example:
      convergence hierarchy import acme hierarchy.csv
    """
    hierarchy = read_csv(csv_text(file, SIZE_MAX))

    async def work() -> None:
        async with session.writing(f"hierarchy import {org}") as writer:
            await known_org(writer.services, org)
            await store_hierarchy(writer.services.documents, org, hierarchy)

    server = session.server(writes=True)
    if server is None:
        session.go(work())
    else:
        server.ask("PUT", _path(org), json={"nodes": hierarchy.to_data()["nodes"]})
    if session.out.json:
        session.out.data(hierarchy.to_data())
    else:
        levels = " > ".join(hierarchy.levels)
        session.out.line(f"{len(hierarchy.nodes)} nodes on {len(hierarchy.levels)} levels: {levels}")
    return 0


@command.command("show", cls=Command)
@click.argument("org")
@click.pass_obj
def show(session: Session, org: str) -> int:
    """Print the hierarchy of ORG as CSV. Works while another process writes.

    \b
    Example:
      convergence hierarchy show acme > hierarchy.csv
    """
    hierarchy = _read(session, org)
    if session.out.json:
        session.out.data(hierarchy.to_data())
    else:
        session.out.line(write_csv(hierarchy).rstrip("\n"))
    return 0


@command.command("find", cls=Command)
@click.argument("org")
@click.argument("label")
@click.argument("value")
@click.pass_obj
def find(session: Session, org: str, label: str, value: str) -> int:
    """Find the node of ORG that LABEL and VALUE name, with those above it: a level and a name, or a label.

    \b
    Example:
      convergence hierarchy find acme cost_center 4711
    """
    hierarchy = _read(session, org)
    path = hierarchy.path_of(hierarchy.find(label, value))
    if session.out.json:
        session.out.data({"path": [node.to_data() for node in path]})
    else:
        session.out.table(("level", "node", "name"), [(node.level, node.node_id, node.name) for node in path])
    return 0


def _read(session: Session, org: str) -> Hierarchy:
    server = session.server()
    if server is not None:
        answer: dict[str, Any] = server.get(_path(org))
        return Hierarchy.from_data(answer)

    async def work() -> Hierarchy:
        with session.reading() as services:
            await known_org(services, org)
            return await read_hierarchy(services.documents, org)

    return asyncio.run(work())


def _path(org: str) -> str:
    return f"/organizations/{quoted(org)}/hierarchy"
