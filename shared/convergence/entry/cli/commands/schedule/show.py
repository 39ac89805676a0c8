"""`convergence schedule list`, `show` and `next`: what runs by itself, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from convergence.engine.schedules.store import require_schedule, schedules_of
from convergence.engine.schedules.views import NextView, ScheduleView, next_firings, schedule_view
from convergence.entry.cli.commands.schedule.names import local_id, remote_id
from convergence.entry.cli.commands.schedule.view import print_schedule
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org


@click.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the schedules of ORG with their next firing. Works while another process writes.

    \b
    Example:
      convergence schedule list acme
    """

    async def work() -> list[ScheduleView]:
        with session.reading() as services:
            known, now = await known_org(services, org), services.clock.now()
            return [schedule_view(each.schedule, now, known) for each in await schedules_of(services, org)]

    server = session.server()
    views = asyncio.run(work()) if server is None else server.get(f"/scheduler/schedules/{quoted(org)}")["schedules"]
    if session.out.json:
        session.out.data({"schedules": views})
    elif not views:
        session.out.line(f"{org} has no schedule. `convergence serve` gives it those of the pipelines it has keys for.")
    else:
        headers = ("schedule", "pipeline", "name", "cron", "zone", "state", "next (UTC)", "")
        session.out.table(headers, [_row(view) for view in views])
    return 0


@click.command("show", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def show(session: Session, org: str, schedule_id: str) -> int:
    """Show SCHEDULE of ORG.

    \b
    Example:
      convergence schedule show acme sch_0f3a5c7e9b1d24680f3a
    """
    server = session.server()
    if server is None:
        view = asyncio.run(_view(session, org, schedule_id))
    else:
        view = server.get(f"/scheduler/schedules/{quoted(org)}/{quoted(remote_id(server, org, schedule_id))}")
    print_schedule(session, view)
    return 0


@click.command("next", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.option("--count", type=click.IntRange(1, 100), default=5, show_default=True)
@click.pass_obj
def next_(session: Session, org: str, schedule_id: str, count: int) -> int:
    """Show when SCHEDULE fires next, in UTC and in its zone.

    \b
    Example:
      convergence schedule next acme sch_0f3a5c7e9b1d24680f3a --count 10
    """

    async def work() -> list[NextView]:
        with session.reading() as services:
            await known_org(services, org)
            known = await local_id(services, org, schedule_id)
            return next_firings((await require_schedule(services, org, known)).schedule, count)

    server = session.server()
    if server is None:
        firings = asyncio.run(work())
    else:
        path = f"/scheduler/schedules/{quoted(org)}/{quoted(remote_id(server, org, schedule_id))}/next"
        firings = server.get(path, {"count": count})["firings"]
    if session.out.json:
        session.out.data({"firings": firings})
    elif not firings:
        session.out.line("It does not fire: it is paused, stopped or over.")
    else:
        rows = [
            (each["at"][:16].replace("T", " "), each["local"], each["utc_offset"], _clock_note(each))
            for each in firings
        ]
        session.out.table(("UTC", "local", "offset", ""), rows)
    return 0


async def _view(session: Session, org: str, schedule_id: str) -> ScheduleView:
    with session.reading() as services:
        await known_org(services, org)
        schedule = (await require_schedule(services, org, await local_id(services, org, schedule_id))).schedule
        return schedule_view(schedule, services.clock.now(), await services.orgs.get(org))


def _row(view: Mapping[str, Any]) -> tuple[str, ...]:
    skip = view["last_skip"]
    note = view["reason"] or ("" if skip is None else f"last skip: {skip['reason']}")
    due = (view["next_run_at"] or "–")[:16].replace("T", " ")
    names = ("schedule_id", "pipeline", "name", "cron_expression", "timezone", "state")
    return (*(str(view[name]) for name in names), due, note)


def _clock_note(firing: NextView) -> str:
    return "the clock changes" if firing["offset_changes"] else ""
