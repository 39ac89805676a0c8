"""`convergence cancel`: end a run before its end."""

from __future__ import annotations

import re

import click

from convergence.engine.cancel import cancel
from convergence.engine.store import require_run
from convergence.entry.cli import remote
from convergence.entry.cli.options import Command
from convergence.entry.cli.run_ids import find_run
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput, StorageLocked


@click.command("cancel", cls=Command)
@click.argument("run_id", metavar="RUN")
@click.pass_obj
def command(session: Session, run_id: str) -> int:
    """Cancel RUN. Finished steps stay finished; `convergence replay` continues from there.

    \b
    Example:
      convergence cancel run_5f0c2d9a
    """
    server = session.server(writes=True)
    if server is not None:
        return remote.cancel(session, server, run_id)
    return session.go(_cancel(session, run_id))


async def _cancel(session: Session, run_id: str) -> int:
    with session.reading() as services:
        org, found = await find_run(services, run_id)
        run = (await require_run(services, org, found)).run
    holder = session.installation.holder(session.place)
    if holder is not None and not run.terminal:
        raise StorageLocked(_how(session, found, holder))
    async with session.writing(f"cancel {found}") as writer:
        run = await cancel(writer.services, org, found)
        if run.status.value != "cancelled":
            raise InvalidInput(f"run {found} is {run.status} already; there is nothing to cancel")
        ended = await writer.worker.wait(org, found)
        await report_end(session.out, writer.services, [ended], session.command)
    return 0


def _how(session: Session, run_id: str, holder: str) -> str:
    """Say how a run is cancelled that another process may be working on: only that one can write."""
    number = re.match(r"process (\d+) ", holder)
    stop = f"press Ctrl-C in its terminal, or: kill -INT {number[1]}" if number else "press Ctrl-C in its terminal"
    return (
        f"{session.data_dir} is in use by {holder}, and only that process can end {run_id}. Stop it: {stop} (no work "
        f"is lost). Then: {session.command('cancel', run_id)}"
    )
