"""`convergence pipelines`: what can be run."""

from __future__ import annotations

from typing import Any

import click

from convergence.config.catalog import Catalog
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import first_line
from convergence.entry.cli.server import Server
from convergence.entry.cli.session import Session
from convergence.errors import ConfigErrors, NotFound, did_you_mean


@click.command("pipelines", cls=Command)
@click.argument("provider", required=False)
@click.pass_obj
def command(session: Session, provider: str | None) -> int:
    """List the pipelines, or those of PROVIDER. A file with mistakes is listed with the first of them.

    \b
    Example:
      convergence pipelines
      convergence pipelines openai
    """
    server = session.server()
    found = _local(session) if server is None else _remote(server)
    known = {row["provider"] for row in found if row["provider"]}
    if provider is not None:
        found = [row for row in found if row["provider"] == provider]
        if not found:
            raise NotFound(f"no pipeline belongs to the provider {provider[:100]!r}.{did_you_mean(provider, known)}")
    if session.out.json:
        session.out.data({"pipelines": found})
        return 0
    rows = [(row["name"], row["provider"], row["problem"] or row["description"]) for row in found]
    session.out.table(("pipeline", "provider", ""), rows)
    session.out.note(f"{len(found)} pipelines; their parameters: {session.command('params', 'PIPELINE')}")
    return 0


def _local(session: Session) -> list[dict[str, Any]]:
    session.check_configs()
    catalog = Catalog(session.configs_dir)
    found = []
    for name in catalog.names():
        row: dict[str, Any] = {"name": name, "provider": "", "description": "", "problem": None}
        try:
            pipeline = catalog.get(name).pipeline
            row |= {"provider": pipeline.provider, "description": _about(pipeline.name, pipeline.description)}
        except ConfigErrors as errors:
            row["problem"] = str(session.openable(errors.problems[0]))
        found.append(row)
    return found


def _remote(server: Server) -> list[dict[str, Any]]:
    return [
        {
            "name": each["name"],
            "provider": each["provider"],
            "description": _about(
                each["display_name"] if each["display_name"] != each["name"] else "", each["description"]
            ),
            "problem": None,
        }
        for each in server.open_to_all("/validator/pipelines")["pipelines"]
    ]


def _about(name: str, description: str) -> str:
    return first_line((description or name).strip())
