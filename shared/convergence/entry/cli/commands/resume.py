"""`convergence resume`: finish what earlier processes left."""

from __future__ import annotations

import click

from convergence.domain.run import Run
from convergence.domain.wording import counted
from convergence.engine.services import Services
from convergence.entry.cli.follow import display, follow, report_end
from convergence.entry.cli.options import SilentCommand
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.sandbox import UNFINISHED
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session
from convergence.ports.documents import Order


@click.command("resume", cls=SilentCommand)
@click.pass_obj
def command(session: Session) -> int:
    """Finish every run that was interrupted: by Ctrl-C, by a crash, or because it was started without waiting.

    \b
    Example:
      convergence resume
    """
    if session.server() is not None:
        not_there("resume on request", "a server finishes by itself what an earlier process left, when it starts")
    if not session.data_dir.exists():
        return _nothing(session)
    session.check_configs()
    return session.go(_resume(session))


async def _resume(session: Session) -> int:
    rows = Rows()
    async with session.writing("resume", rows) as writer:
        left = await unfinished(writer.services)
        if not left:
            return _nothing(session)
        if not session.out.json:
            session.out.note(f"{counted(len(left), 'unfinished run')} to finish")
        await writer.worker.start()
        ended = await follow(writer, left, display(session.out, rows))
        return await report_end(session.out, writer.services, ended, session.command, several=True)


async def unfinished(services: Services) -> list[Run]:
    """Return the runs for which something is left to do, oldest first."""
    found: list[Run] = []
    cursor: str | None = None
    while True:
        page = await services.documents.query("runs", where=UNFINISHED, order=[Order("check_at")], cursor=cursor)
        found += [Run.from_data(document.data) for document in page.documents]
        if page.cursor is None:
            return sorted(found, key=lambda run: run.created_at)
        cursor = page.cursor


def _nothing(session: Session) -> int:
    if session.out.json:
        session.out.data({"runs": []})
    else:
        session.out.line("Nothing is unfinished.")
    return 0
