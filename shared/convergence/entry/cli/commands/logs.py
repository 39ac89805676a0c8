"""`convergence logs`: what happened in a run, moves and log lines in one order of time."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from convergence.engine.views import runs as views
from convergence.entry.cli import log_file, remote
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import status
from convergence.entry.cli.run_ids import find_run
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session
from convergence.errors import NotFound, did_you_mean


@click.command("logs", cls=Command)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--step", metavar="STEP", help="Only this step.")
@click.pass_obj
def command(session: Session, run_id: str | None, step: str | None) -> int:
    """Show the timeline of a run; without RUN the latest one. Works while another process writes.

    \b
    Example:
      convergence logs run_5f0c2d9a --step extract_usage
      convergence logs --json
    """
    server = session.server()
    if server is None:
        org, found, entries, steps = asyncio.run(_read(session, run_id))
    else:
        org, found = server.org, server.run_id(run_id)
        steps = [each["step_id"] for each in remote.status(server, org, found)["steps"]] if step is not None else []
        entries = server.get(f"/pipelines/logs/{quoted(org)}/{quoted(found)}")["entries"]
    if step is not None and step not in steps:
        raise NotFound(f"{found} has no step {step!r}.{did_you_mean(step, steps)}")
    return _show(session, org, found, entries, step)


async def _read(session: Session, run_id: str | None) -> tuple[str, str, list[dict[str, Any]], list[str]]:
    with session.reading() as services:
        org, found = await find_run(services, run_id)
        steps = [each["step_id"] for each in (await views.status(services, org, found))["steps"]]
        moves = await views.transitions(services, org, found)
    entries: list[dict[str, Any]] = [{"kind": "move", **move} for move in moves]
    entries += [
        {"kind": "log", "step_id": None, **line}
        for line in log_file.read_run(session.installation.log_file(session.place), found)
    ]
    return org, found, sorted(entries, key=lambda entry: entry["at"]), steps


def _show(session: Session, org: str, found: str, entries: list[dict[str, Any]], step: str | None) -> int:
    if step is not None:
        entries = [entry for entry in entries if entry["step_id"] == step]
    if session.out.json:
        session.out.data({"run_id": found, "org": org, "entries": entries})
        return 0
    width = max((len(entry["step_id"] or "") for entry in entries), default=0)
    for entry in entries:
        at, step_id = entry["at"][:23].replace("T", " "), entry["step_id"] or ""
        session.out.line(f"{at}  {step_id:<{width}}  {_description(entry)}")
    return 0


def _description(entry: dict[str, Any]) -> str:
    if entry["kind"] == "move":
        return f"{status(entry['status'])}: {entry['why']}"
    error = f"\n{entry['error']}" if "error" in entry else ""
    return f"{entry['level']}: {entry['message']}{error}"
