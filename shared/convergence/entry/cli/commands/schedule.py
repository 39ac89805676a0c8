"""`convergence schedule`: what runs by itself, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click
import orjson

from convergence.config.cron import check_cron, full_cron, zone
from convergence.domain.records import changed
from convergence.domain.schedule import Missed, Overlap, Schedule, Timing
from convergence.engine.schedules import edit
from convergence.engine.schedules.store import require_schedule, schedules_of
from convergence.engine.schedules.sync import sync_org
from convergence.engine.schedules.views import NextView, ScheduleView, next_firings, schedule_view
from convergence.engine.services import Services
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import read_pairs
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput

Act = Callable[[Services], Awaitable[Schedule]]


@click.group("schedule")
def command() -> None:
    """List, add, change, pause and trigger the schedules of an org."""


@command.command("list", cls=Command)
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
            await known_org(services, org)
            now = services.clock.now()
            return [schedule_view(each.schedule, now) for each in await schedules_of(services, org)]

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


@command.command("show", cls=Command)
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
        view = server.get(f"/scheduler/schedules/{quoted(org)}/{quoted(schedule_id)}")
    _print(session, view)
    return 0


@command.command("next", cls=Command)
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
            return next_firings((await require_schedule(services, org, schedule_id)).schedule, count)

    server = session.server()
    path = f"/scheduler/schedules/{quoted(org)}/{quoted(schedule_id)}/next"
    firings = asyncio.run(work()) if server is None else server.get(path, {"count": count})["firings"]
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


@command.command("set", cls=Command)
@click.argument("org")
@click.argument("target", metavar="SCHEDULE|PIPELINE")
@click.option("--name", help="Add a schedule of this name for PIPELINE; without it, change SCHEDULE.")
@click.option("--cron", help='Five fields in quotes, or @daily and the like: "0 6 * * *".')
@click.option("--timezone", help="An IANA name, such as Europe/Berlin.")
@click.option("--jitter-minutes", type=click.IntRange(0, 1440), help="The greatest delay of a firing.")
@click.option("--missed", type=click.Choice([each.value for each in Missed]), help="Which missed firings run.")
@click.option("--overlap", type=click.Choice([each.value for each in Overlap]), help="While its last run is active.")
@click.option("--credential", default="", help="The credential of its runs; only with --name.")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.pass_obj
def set_(
    session: Session, /, org: str, target: str, name: str | None, parameters: tuple[str, ...], **given: Any
) -> int:
    """Change SCHEDULE of ORG, or add one for PIPELINE.

    \b
    Example:
      convergence schedule set acme sch_0f3a5c7e9b1d24680f3a --cron "0 4 * * *" --timezone Europe/Berlin
      convergence schedule set acme openai/cost/usage_cost --name weekly --cron "0 6 * * 1"
    """
    body = _body(given, parameters)
    server = session.server(writes=True)
    if server is not None and name is None:
        answer = server.ask("PUT", f"/scheduler/schedule/{quoted(target)}", json=body)
        _print(session, answer["schedule"])
        return 0
    if server is not None:
        more = {"pipeline": target, "name": name, "credential_id": given["credential"]}
        _print(session, server.ask("POST", f"/scheduler/schedules/{quoted(org)}", json={**body, **more}))
        return 0

    async def add(services: Services) -> Schedule:
        if not body.get("cron_expression"):
            raise InvalidInput("a new schedule needs --cron")
        loaded = services.catalog.get(target)
        schedule = edit.new_schedule(
            services,
            org=org,
            pipeline=loaded.path,
            provider=loaded.pipeline.provider,
            timing=_timing(Timing(cron=""), body),
            name=str(name),
            credential_id=given["credential"],
        )
        return await edit.create(services, changed(schedule, parameters=body.get("parameters", {})))

    async def alter(services: Services) -> Schedule:
        def new(schedule: Schedule) -> Schedule:
            timing = _timing(schedule.timing, body)
            parts = [*schedule.overridden]
            parts += ["timing"] if timing != schedule.timing else []
            parts += ["parameters"] if "parameters" in body else []
            kept = body.get("parameters", schedule.parameters)
            return changed(schedule, timing=timing, parameters=kept, overridden=tuple(sorted(set(parts))))

        return await edit.edit_schedule(services, org, target, new)

    return _local(session, org, f"schedule set {org}", alter if name is None else add)


@command.command("pause", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def pause(session: Session, org: str, schedule_id: str) -> int:
    """Stop SCHEDULE of ORG from firing until it is resumed.

    \b
    Example:
      convergence schedule pause acme sch_0f3a5c7e9b1d24680f3a
    """
    return _switch(session, org, schedule_id, {"is_enabled": False}, lambda at: edit.pause(at, org, schedule_id))


@command.command("resume", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.option("--catch-up", is_flag=True, help="Decide what was missed meanwhile, as its policy says.")
@click.pass_obj
def resume(session: Session, org: str, schedule_id: str, catch_up: bool) -> int:
    """Let SCHEDULE of ORG fire again.

    \b
    Example:
      convergence schedule resume acme sch_0f3a5c7e9b1d24680f3a --catch-up
    """
    body = {"is_enabled": True, "catch_up": catch_up}
    return _switch(session, org, schedule_id, body, lambda at: edit.resume(at, org, schedule_id, catch_up=catch_up))


@command.command("delete", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def delete(session: Session, org: str, schedule_id: str) -> int:
    """Remove SCHEDULE, one that ORG added. Those of pipelines' files are paused instead.

    \b
    Example:
      convergence schedule delete acme sch_0f3a5c7e9b1d24680f3a
    """
    server = session.server(writes=True)
    if server is not None:
        answer = server.ask("DELETE", f"/scheduler/schedules/{quoted(org)}/{quoted(schedule_id)}")
        _print(session, answer["schedule"])
        return 0
    return _local(session, org, f"schedule delete {org}", lambda at: edit.delete(at, org, schedule_id))


@command.command("trigger", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def trigger(session: Session, org: str, schedule_id: str) -> int:
    """Run what SCHEDULE runs, now; its own firings are unchanged.

    \b
    Example:
      convergence schedule trigger acme sch_0f3a5c7e9b1d24680f3a
    """

    async def work() -> dict[str, Any]:
        async with session.writing(f"schedule trigger {org}") as writer:
            await writer.worker.start()
            run = await edit.trigger(writer.services, org, schedule_id)
            ended = await writer.worker.wait(org, run.run_id)
            return {"run_id": run.run_id, "status": ended.status.value}

    server = session.server(writes=True)
    body = {"schedule_id": schedule_id}
    answer = session.go(work()) if server is None else server.ask("POST", "/scheduler/trigger", json=body)
    if session.out.json:
        session.out.data(answer)
    else:
        session.out.line(f"{answer['run_id']}  {answer['status']}")
    return 1 if answer["status"] in {"failed", "cancelled"} else 0


def _switch(session: Session, org: str, schedule_id: str, body: Mapping[str, Any], act: Act) -> int:
    server = session.server(writes=True)
    if server is not None:
        answer = server.ask("PUT", f"/scheduler/schedule/{quoted(schedule_id)}", json=body)
        _print(session, answer["schedule"])
        return 0
    return _local(session, org, f"schedule {org}", act)


def _local(session: Session, org: str, purpose: str, act: Act) -> int:
    async def work() -> ScheduleView:
        async with session.writing(purpose) as writer:
            await known_org(writer.services, org)
            await sync_org(writer.services, org)  # what a server would have done by now
            return schedule_view(await act(writer.services), writer.services.clock.now())

    _print(session, session.go(work()))
    return 0


async def _view(session: Session, org: str, schedule_id: str) -> ScheduleView:
    with session.reading() as services:
        return schedule_view((await require_schedule(services, org, schedule_id)).schedule, services.clock.now())


def _body(given: Mapping[str, Any], parameters: tuple[str, ...]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if given["cron"] is not None:
        body["cron_expression"] = full_cron(given["cron"])
        wrong = check_cron(body["cron_expression"])
        if wrong:
            raise InvalidInput(wrong)
    if given["timezone"] is not None:
        zone(given["timezone"])
        body["timezone"] = given["timezone"]
    body |= {name: given[name] for name in ("jitter_minutes", "missed", "overlap") if given[name] is not None}
    if parameters:
        body["parameters"] = read_pairs("--parameter", parameters)
    return body


def _timing(before: Timing, body: Mapping[str, Any]) -> Timing:
    given: dict[str, Any] = {
        "cron": body.get("cron_expression"),
        "timezone": body.get("timezone"),
        "jitter_s": None if "jitter_minutes" not in body else body["jitter_minutes"] * 60,
        "missed": None if "missed" not in body else Missed(body["missed"]),
        "overlap": None if "overlap" not in body else Overlap(body["overlap"]),
    }
    return changed(before, **{name: value for name, value in given.items() if value is not None})


def _print(session: Session, view: Mapping[str, Any]) -> None:
    if session.out.json:
        session.out.data(dict(view))
        return
    for name, value in view.items():
        if value not in (None, "", {}, []):
            shown = orjson.dumps(value).decode() if isinstance(value, dict) else value
            session.out.line(f"{name:<17} {shown}")


def _row(view: Mapping[str, Any]) -> tuple[str, ...]:
    skip = view["last_skip"]
    note = view["reason"] or ("" if skip is None else f"last skip: {skip['reason']}")
    due = (view["next_run_at"] or "–")[:16].replace("T", " ")
    names = ("schedule_id", "pipeline", "name", "cron_expression", "timezone", "state")
    return (*(str(view[name]) for name in names), due, note)


def _clock_note(firing: NextView) -> str:
    return "the clock changes" if firing["offset_changes"] else ""
