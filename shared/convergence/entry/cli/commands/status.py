"""`convergence status`: how a run stands."""

from __future__ import annotations

import asyncio

import click

from convergence.engine.views import runs as views
from convergence.engine.views.models import RunView, StepView
from convergence.entry.cli import remote
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output, failure, seconds
from convergence.entry.cli.run_ids import find_run
from convergence.entry.cli.run_report import summary
from convergence.entry.cli.server import Server
from convergence.entry.cli.session import Session


@click.command("status", cls=Command)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.pass_obj
def command(session: Session, run_id: str | None) -> int:
    """Show a run and its steps; without RUN the latest one. Works while another process writes.

    \b
    Example:
      convergence status run_5f0c2d9a
      convergence status --json
    """
    server = session.server()
    view = asyncio.run(_read(session, run_id)) if server is None else _ask(server, run_id)
    if session.out.json:
        session.out.data(view)
    else:
        summary(session.out, view, session.command)
        if view["waits_for"] is not None:
            session.out.line(f"  waits for {view['waits_for']}")
        session.out.line()
        steps_table(session.out, view)
    return 0


async def _read(session: Session, run_id: str | None) -> RunView:
    with session.reading() as services:
        return await views.status(services, *await find_run(services, run_id))


def _ask(server: Server, run_id: str | None) -> RunView:
    return remote.status(server, server.org, server.run_id(run_id))


def steps_table(out: Output, view: RunView) -> None:
    """Print the steps in plan order. A step that did not begin on the day of its run shows its day."""
    day = (view["created_at"] or "")[:10]
    rows = [
        (
            step["step_id"],
            step["status"],
            f"{step['attempts']}/{step['attempts_max']}" if step["attempts"] else "",
            f"{step['rows_processed']:,}" if step["rows_processed"] else "",
            f"{step['rows_written']:,}" if step["rows_written"] else "",
            _started(step, day),
            seconds(step["duration_ms"]),
            " ".join(filter(None, (_crashes(step), failure(step)))),
        )
        for step in view["steps"]
    ]
    headers = ("step", "status", "attempts", "read", "written", "started (UTC)", "time", "")
    out.table(headers, rows, right={2, 3, 4, 6})


def _started(step: StepView, day: str) -> str:
    at = step["started_at"]
    return "" if at is None else at[11:23] if at.startswith(day) else at[:23].replace("T", " ")


def _crashes(step: StepView) -> str | None:
    if not step["crashes"] or step["status"] == "failed":  # then the error includes it
        return None
    counts = f"crashes: {step['crashes']}, {step['crashes_when_isolated']} of them alone"
    return f"({counts}; next try {step['next_attempt_at'][11:19]} UTC)" if step["next_attempt_at"] else f"({counts})"
