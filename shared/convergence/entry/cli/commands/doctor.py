"""`convergence doctor`: is this installation in order?"""

from __future__ import annotations

from typing import Any

import click

from convergence.engine.doctor import answer, examine
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session


@click.command("doctor", cls=Command)
@click.pass_obj
def command(session: Session) -> int:
    """Check store, keyring, procedures, migrations, schemas, schedules and the reconciler; exit 1 for a fault.

    On a server (`--url`, with the operator's key) the deployment examines itself.

    \b
    Example:
      convergence doctor --url https://convergence.example
    """

    async def work() -> Any:
        session.check_configs()
        async with session.writing("doctor") as writer:
            return answer(await examine(writer.services))

    server = session.server(writes=True)
    found = session.go(work()) if server is None else server.get("/doctor", root=True)
    if session.out.json:
        session.out.data(found)
    else:
        rows = [(each["check"], "fault" if each["cure"] else "ok", each["found"]) for each in found["findings"]]
        session.out.table(("check", "", "found"), rows)
        for each in found["findings"]:
            if each["cure"]:
                session.out.note(f"{each['check']}: {each['cure']}")
    return 0 if found["healthy"] else 1
