"""`convergence schedule set`, `pause`, `resume`, `delete` and `trigger`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from convergence.config.cron import check_cron, full_cron, zone
from convergence.domain.schedule import Missed, Overlap, Schedule
from convergence.engine.schedules import edit
from convergence.engine.schedules.change import ScheduleChange, add_schedule, change_schedule
from convergence.engine.schedules.sync import sync_org
from convergence.engine.schedules.views import ScheduleView, schedule_view
from convergence.engine.services import Services
from convergence.entry.cli.commands.schedule.names import local_id, remote_id
from convergence.entry.cli.commands.schedule.view import print_schedule
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import read_pairs
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput

Act = Callable[[Services], Awaitable[Schedule]]


@click.command("set", cls=Command)
@click.argument("org")
@click.argument("target", metavar="SCHEDULE|PIPELINE")
@click.option("--name", help="Add a schedule of this name for PIPELINE; without it, change SCHEDULE.")
@click.option("--cron", help='Five fields in quotes, or @daily and the like: "0 6 * * *".')
@click.option("--timezone", help="An IANA name, such as Europe/Berlin.")
@click.option("--jitter-minutes", type=click.IntRange(0, 1440), help="The maximum delay of a firing.")
@click.option("--missed", type=click.Choice([each.value for each in Missed]), help="Which missed firings run.")
@click.option(
    "--overlap",
    type=click.Choice([each.value for each in Overlap]),
    help="What a firing does while the last run is active.",
)
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
    change = _change(body)
    server = session.server(writes=True)
    if server is not None and name is None:
        known = remote_id(server, org, target)
        answer = server.ask("PUT", f"/scheduler/schedule/{quoted(known)}", json=body)
        print_schedule(session, answer["schedule"])
        return 0
    if server is not None:
        more = {"pipeline": target, "name": name, "credential_id": given["credential"]}
        print_schedule(session, server.ask("POST", f"/scheduler/schedules/{quoted(org)}", json={**body, **more}))
        return 0

    if name is None:
        return _local(session, org, _changing(org, target, change))
    credential = given["credential"]
    return _local(
        session, org, lambda services: add_schedule(services, org, target, name, change, credential_id=credential)
    )


@click.command("pause", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def pause(session: Session, org: str, schedule_id: str) -> int:
    """Stop SCHEDULE of ORG from firing until it is resumed.

    \b
    Example:
      convergence schedule pause acme sch_0f3a5c7e9b1d24680f3a
    """
    return _switch(session, org, schedule_id, {"is_enabled": False}, ScheduleChange(enabled=False))


@click.command("resume", cls=Command)
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
    return _switch(session, org, schedule_id, body, ScheduleChange(enabled=True, catch_up=catch_up))


@click.command("delete", cls=Command)
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
        known = remote_id(server, org, schedule_id)
        answer = server.ask("DELETE", f"/scheduler/schedules/{quoted(org)}/{quoted(known)}")
        print_schedule(session, answer["schedule"])
        return 0

    async def act(services: Services) -> Schedule:
        return await edit.delete(services, org, await local_id(services, org, schedule_id))

    return _local(session, org, act)


@click.command("trigger", cls=Command)
@click.argument("org")
@click.argument("schedule_id", metavar="SCHEDULE")
@click.pass_obj
def trigger(session: Session, org: str, schedule_id: str) -> int:
    """Start a run of SCHEDULE now; its own firings are unchanged.

    \b
    Example:
      convergence schedule trigger acme sch_0f3a5c7e9b1d24680f3a
    """

    async def work() -> dict[str, Any]:
        async with session.writing(f"schedule trigger {org}") as writer:
            await writer.worker.start()
            await known_org(writer.services, org)
            run = await edit.trigger(writer.services, org, await local_id(writer.services, org, schedule_id))
            ended = await writer.worker.wait(org, run.run_id)
            return {"run_id": run.run_id, "status": ended.status.value}

    server = session.server(writes=True)
    if server is None:
        answer = session.go(work())
    else:
        answer = server.ask("POST", "/scheduler/trigger", json={"schedule_id": remote_id(server, org, schedule_id)})
    if session.out.json:
        session.out.data(answer)
    else:
        session.out.line(f"{answer['run_id']}  {answer['status']}")
    return 1 if answer["status"] in {"failed", "cancelled"} else 0


def _switch(session: Session, org: str, schedule_id: str, body: Mapping[str, Any], change: ScheduleChange) -> int:
    server = session.server(writes=True)
    if server is not None:
        known = remote_id(server, org, schedule_id)
        answer = server.ask("PUT", f"/scheduler/schedule/{quoted(known)}", json=body)
        print_schedule(session, answer["schedule"])
        return 0
    return _local(session, org, _changing(org, schedule_id, change))


def _changing(org: str, given: str, change: ScheduleChange) -> Act:
    async def act(services: Services) -> Schedule:
        return await change_schedule(services, org, await local_id(services, org, given), change)

    return act


def _local(session: Session, org: str, act: Act) -> int:
    async def work() -> ScheduleView:
        async with session.writing(f"schedule {org}") as writer:
            known = await known_org(writer.services, org)
            await sync_org(writer.services, org)  # what a server would have done by now
            return schedule_view(await act(writer.services), writer.services.clock.now(), known)

    print_schedule(session, session.go(work()))
    return 0


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


def _change(body: Mapping[str, Any]) -> ScheduleChange:
    """Return the change that the body of a request stands for."""
    return ScheduleChange(
        cron=body.get("cron_expression"),
        timezone=body.get("timezone"),
        jitter_minutes=body.get("jitter_minutes"),
        missed=Missed(body["missed"]) if "missed" in body else None,
        overlap=Overlap(body["overlap"]) if "overlap" in body else None,
        parameters=body.get("parameters"),
    )
