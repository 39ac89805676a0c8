"""`convergence queue`: which runs wait, and for what."""

from __future__ import annotations

import asyncio

import click

from convergence.engine.schedules.views import QueueView, queue_views
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session, known_org


@click.command("queue", cls=Command)
@click.argument("org", required=False)
@click.pass_obj
def command(session: Session, org: str | None) -> int:
    """Show the queue of ORG, or of all orgs. Works while another process writes.

    \b
    Example:
      convergence queue
      convergence queue acme --json
    """

    async def work() -> list[QueueView]:
        with session.reading() as services:
            if org is not None:
                await known_org(services, org)
            return await queue_views(services, None if org is None else [org])

    server = session.server()
    if server is None:
        queues = asyncio.run(work())
    else:
        queues = server.get("/scheduler/queue", {"org": org}, root=org is None)["queue"]
    if session.out.json:
        session.out.data({"queue": queues})
    elif not queues:
        session.out.line("No run is waiting.")
    else:
        rows = [
            (each["org"], f"{each['waiting']:,}", each["reason"] or "its turn", each["next_check_at"] or "")
            for each in queues
        ]
        session.out.table(("org", "waiting", "for", "looked at again (UTC)"), rows, right={1})
    return 0
