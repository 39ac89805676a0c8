"""`convergence backfills`: how far backfills are; pause, resume and cancel them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import click

from convergence.domain.backfill import Backfill, BackfillStatus
from convergence.engine.backfills import feed
from convergence.engine.backfills.views import BackfillView, backfill_view
from convergence.engine.services import Services
from convergence.entry.cli.commands.backfill import show, to_its_end
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org

Act = Callable[[Services, str, str], Awaitable[Backfill]]


@click.group("backfills")
def command() -> None:
    """List, pause, resume and cancel backfills."""


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the backfills of ORG, latest first. Works while another process writes.

    \b
    Example:
      convergence backfills list acme
    """

    async def work() -> list[BackfillView]:
        with session.reading() as services:
            await known_org(services, org)
            return [backfill_view(each) for each in await feed.backfills_of(services, org)]

    server = session.server()
    views = asyncio.run(work()) if server is None else server.get(f"/pipelines/backfills/{quoted(org)}")["backfills"]
    if session.out.json:
        session.out.data({"backfills": views})
    elif not views:
        session.out.line(f"{org} has no backfill.")
    else:
        session.out.table(
            ("backfill", "pipeline", "from", "to", "status", "done", "failed", ""),
            [_row(view) for view in views],
            right={5, 6},
        )
    return 0


def _change(word: str, act: Act, text: str) -> None:
    def change(session: Session, org: str, backfill_id: str) -> int:
        async def work() -> BackfillView:
            async with session.writing(f"backfills {word} {org}") as writer:
                return backfill_view(await act(writer.services, org, backfill_id))

        server = session.server(writes=True)
        path = f"/pipelines/backfills/{quoted(org)}/{quoted(backfill_id)}/{word}"
        view = session.go(work()) if server is None else server.ask("POST", path)
        if session.out.json:
            session.out.data(view)
        else:
            session.out.line(f"{view['backfill_id']}  {view['status']}, {view['progress']} %")
        return 0

    change.__doc__ = f"{text}\n\n\b\nExample:\n  convergence backfills {word} acme bf_0f3a5c7e9b1d24680f3a"
    decorated = click.argument("backfill_id", metavar="BACKFILL")(click.pass_obj(change))
    command.command(word, cls=Command)(click.argument("org")(decorated))


_change("pause", feed.pause, "Start no further run of BACKFILL; those under way go on.")
_change("cancel", feed.cancel_backfill, "End BACKFILL and cancel its runs.")


@command.command("resume", cls=Command)
@click.argument("org")
@click.argument("backfill_id", metavar="BACKFILL")
@click.pass_obj
def resume(session: Session, org: str, backfill_id: str) -> int:
    """Resume a paused or stopped BACKFILL; without a server, also with one that a killed process left running.

    \b
    Example:
      convergence backfills resume acme bf_0f3a5c7e9b1d24680f3a
    """
    server = session.server(writes=True)
    if server is not None:
        return show(session, server.ask("POST", f"/pipelines/backfills/{quoted(org)}/{quoted(backfill_id)}/resume"))

    async def work() -> int:
        async with session.writing(f"backfills resume {org}") as writer:
            services = writer.services
            backfill = (await feed.require_backfill(services, org, backfill_id)).backfill
            if backfill.status is not BackfillStatus.RUNNING:  # this process is the only one: it was left so
                backfill = await feed.resume(services, org, backfill_id)
            return await to_its_end(session, writer, backfill)

    return session.go(work())


def _row(view: BackfillView) -> tuple[str, ...]:
    names = (view["backfill_id"], view["pipeline"], view["start"], view["end"], view["status"])
    return (*names, f"{view['progress']} %", f"{view['counts']['failed']:,}", view["reason"])
