"""`convergence logs`: what happened in a run, moves and log lines in one order of time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import click

from convergence.engine.views import runs as views
from convergence.engine.views.models import RunSummary, RunView
from convergence.entry.cli import log_file, remote
from convergence.entry.cli.layout import DEEPER, room
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output, outcome, status
from convergence.entry.cli.run_ids import find_run
from convergence.entry.cli.run_report import headline, origin
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
        run, entries, steps = asyncio.run(_read(session, run_id))
    else:
        org, found = server.org, server.run_id(run_id)
        view = remote.status(server, org, found)
        run, steps = summary_of(view), [each["step_id"] for each in view["steps"]]
        entries = server.get(f"/pipelines/logs/{quoted(org)}/{quoted(found)}")["entries"]
    if step is not None and step not in steps:
        raise NotFound(f"{run['run_id']} has no step {step!r}.{did_you_mean(step, steps)}")
    return _show(session, run, entries, step)


async def _read(session: Session, run_id: str | None) -> tuple[RunSummary, list[dict[str, Any]], list[str]]:
    with session.reading() as services:
        org, found = await find_run(services, run_id)
        view = await views.status(services, org, found)
        moves = await views.transitions(services, org, found)
    entries: list[dict[str, Any]] = [{"kind": "move", **move} for move in moves]
    entries += [
        {"kind": "log", "step_id": None, **line}
        for line in log_file.read_run(session.installation.log_file(session.place), found)
    ]
    steps = [each["step_id"] for each in view["steps"]]
    return summary_of(view), sorted(entries, key=lambda entry: entry["at"]), steps


def summary_of(view: RunView) -> RunSummary:
    """Return a run without its steps."""
    return cast("RunSummary", {name: value for name, value in view.items() if name in RunSummary.__annotations__})


def _show(session: Session, run: RunSummary, entries: list[dict[str, Any]], step: str | None) -> int:
    if step is not None:
        entries = [entry for entry in entries if entry["step_id"] == step]
    if session.out.json:
        session.out.data({"run_id": run["run_id"], "org": run["org"], "run": run, "entries": entries})
        return 0
    headline(session.out, outcome(run), f"{run['pipeline']}  {run['run_id']}", "(times are UTC)")
    for line in origin(run):
        session.out.wrapped(line)
    width = max((len(entry["step_id"] or "") for entry in entries), default=0)
    for entry in entries:
        _print(session.out, entry, width)
    return 0


def _print(out: Output, entry: dict[str, Any], width: int) -> None:
    """Print a line of the timeline; on a terminal where it does not fit, what happened is below it."""
    when = f"{entry['at'][:23].replace('T', ' ')}  {entry['step_id'] or '':<{width}}"
    word, happened = _description(entry)
    first, _, more = happened.partition("\n")
    columns = room()
    if columns is None or len(f"{when}  {word}: {first}") <= columns:
        out.line(f"{when}  {status(word)}: {first}")
    else:
        out.line(f"{when}  {status(word)}".rstrip())
        out.wrapped(first, indent=DEEPER)
    for line in more.splitlines():  # a traceback stays as it is
        out.line(line)


def _description(entry: dict[str, Any]) -> tuple[str, str]:
    if entry["kind"] == "move":
        return entry["status"], entry["why"]
    return entry["level"], f"{entry['message']}\n{entry['error']}" if "error" in entry else entry["message"]
