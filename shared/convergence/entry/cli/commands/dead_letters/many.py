"""`convergence dead-letters replay-all` and what belongs to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import FAILURES_MAX, PER_MINUTE_MAX, DeadLetterReplay, ReplayStatus
from convergence.engine.check_days import check_days
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.services import Services
from convergence.engine.tick import admit_due
from convergence.engine.views.dead_letter_replays import ReplaysPlanView, ReplayView, plan_view, replay_view
from convergence.entry.cli.commands.dead_letters.group import (
    BY,
    command,
    criteria_of,
    filter_options,
    is_every,
    look,
    reach_of,
    show_causes,
)
from convergence.entry.cli.follow import TICK_S, Silent, Waits, follow, stored_runs, under_way, wait_for_one
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import force_option, read_pairs
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session

Act = Callable[[Services, str | None, str], Awaitable[DeadLetterReplay]]


@command.command("replay-all", cls=Command)
@click.argument("org")
@filter_options
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Edited; needs --pipeline.")
@click.option("--latest", is_flag=True, help="Use the pipelines' current files instead of the pinned plans.")
@click.option("--per-minute", type=click.IntRange(1, PER_MINUTE_MAX), default=30, show_default=True)
@click.option(
    "--failures-max", type=click.IntRange(1, FAILURES_MAX), default=10, show_default=True, help="Stop after so many."
)
@force_option
@click.option("--dry-run", is_flag=True, help="Only count what would be redone and replaced.")
@click.pass_obj
def replay_all(session: Session, /, org: str, dry_run: bool, parameters: tuple[str, ...], **given: Any) -> int:
    """Replay the runs of all open dead letters of ORG that the options name: one first, then the rest.

    \b
    Example:
      convergence dead-letters replay-all acme --code credential.rejected --dry-run
      convergence dead-letters replay-all _all --pipeline openai/cost/usage_cost --newer-than 24h --per-minute 60
    """
    given["parameters"] = read_pairs("--parameter", parameters)
    server = session.server(writes=not dry_run)
    if server is not None:
        query = {"dry_run": str(dry_run).lower()}
        path = f"/dead-letters/{quoted(org)}/replays"
        answer = server.ask("POST", path, json=given, params=query, root=is_every(org))
        return _show_plan(session, answer) if dry_run else show(session, answer)
    return session.go(_dry(session, org, given) if dry_run else _local(session, org, given))


@command.command("replays", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the replays of many dead letters of ORG, latest first. Works while another process writes.

    \b
    Example:
      convergence dead-letters replays acme
    """

    async def work(services: Services) -> dict[str, Any]:
        return {"replays": [replay_view(each) for each in await replays.replays_of(services, reach_of(org))]}

    found = look(session, org, work, f"/dead-letters/{quoted(org)}/replays")
    if session.out.json:
        session.out.data(found)
    elif not found["replays"]:
        session.out.line("There are none.")
    else:
        rows = [
            (each["replay_id"], each["created_at"][:19].replace("T", " "), _progress(each)) for each in found["replays"]
        ]
        session.out.table(("replay", "since (UTC)", ""), rows)
    return 0


def _change(word: str, act: Act, text: str) -> None:
    def change(session: Session, org: str, replay_id: str) -> int:
        async def work() -> ReplayView:
            async with session.writing(f"dead-letters {word} {org}") as writer:
                return replay_view(await act(writer.services, reach_of(org), replay_id))

        server = session.server(writes=True)
        path = f"/dead-letters/{quoted(org)}/replays/{quoted(replay_id)}/{word}"
        view = session.go(work()) if server is None else server.ask("POST", path, root=is_every(org))
        if session.out.json:
            session.out.data(view)
        else:
            session.out.line(f"{view['replay_id']}  {_progress(view)}")
        return 0

    change.__doc__ = f"{text}\n\n\b\nExample:\n  convergence dead-letters {word} acme dlr_0f3a5c7e9b1d24680f3a"
    decorated = click.argument("replay_id", metavar="REPLAY")(click.pass_obj(change))
    command.command(word, cls=Command)(click.argument("org")(decorated))


_change("pause", replays.pause, "Start no further replay of REPLAY; those under way go on.")
_change("cancel", replays.cancel_replay, "End REPLAY; replays under way go on.")


@command.command("resume", cls=Command)
@click.argument("org")
@click.argument("replay_id", metavar="REPLAY")
@click.pass_obj
def resume(session: Session, org: str, replay_id: str) -> int:
    """Resume a paused or stopped REPLAY: one run first, then the rest.

    Without a server, also with one that a killed process left running.

    \b
    Example:
      convergence dead-letters resume acme dlr_0f3a5c7e9b1d24680f3a
    """
    server = session.server(writes=True)
    if server is not None:
        path = f"/dead-letters/{quoted(org)}/replays/{quoted(replay_id)}/resume"
        return show(session, server.ask("POST", path, root=is_every(org)))
    return session.go(_resume(session, org, replay_id))


async def _request(services: Services, org: str, given: Mapping[str, Any]) -> replays.ReplaysRequest:
    if not given["force"]:
        check_days(services, given["pipeline"] or "", given["parameters"])
    return replays.ReplaysRequest(
        criteria=await criteria_of(services, org, {**given, "state": DeadLetterState.OPEN.value}),
        parameters=given["parameters"],
        latest=given["latest"],
        per_minute=given["per_minute"],
        failures_max=given["failures_max"],
        operator=True,
        created_by=BY,
    )


async def _dry(session: Session, org: str, given: Mapping[str, Any]) -> int:
    with session.reading() as services:
        return _show_plan(session, plan_view(await replays.plan(services, await _request(services, org, given))))


async def _local(session: Session, org: str, given: Mapping[str, Any]) -> int:
    async with session.writing(f"dead-letters replay-all {org}") as writer:
        made = await replays.create(writer.services, await _request(writer.services, org, given))
        return await _to_its_end(session, writer, made)


async def _resume(session: Session, org: str, replay_id: str) -> int:
    async with session.writing(f"dead-letters resume {org}") as writer:
        services, reach = writer.services, reach_of(org)
        replay = (await replays.require_replay(services, reach, replay_id)).replay
        if replay.status is not ReplayStatus.RUNNING:  # this process is the only one: it was left so
            replay = await replays.resume(services, reach, replay_id)
        return await _to_its_end(session, writer, replay)


async def _to_its_end(session: Session, writer: Writer, now: DeadLetterReplay) -> int:
    """Replay here what is left, as no server does it; show how it ended and return the exit code."""
    await writer.worker.start()
    return show_end(session, await go_on(session, writer, now))


async def go_on(session: Session, writer: Writer, now: DeadLetterReplay) -> ReplayView:
    """Let a worker that has started replay what is left; return how it ended, or that it waits.

    Its last runs and what is chained to them end, too, before the process may. While orgs have no room, runs that are
    under way make it; where there are none, a limit has to open first, and no process needs to wait for that.
    """
    services, seen, waits = writer.services, set[str](), Waits(session.out)
    while True:
        now = await feed_replays(services, now.replay_id) or now
        seen |= {pending.run_id for pending in now.window.values()}
        if now.over:
            ended = await stored_runs(services, sorted(seen))
            chained = [name for run in ended for name in run.children]
            await follow(writer, [*ended, *await stored_runs(services, chained)], Silent())
            return replay_view(await feed_replays(services, now.replay_id) or now)
        await admit_due(services)
        at_work = await under_way(services)
        if now.waits_for:
            waits.say(f"replay {now.replay_id}", now.waits_for, at_work)
            if not at_work:
                return replay_view(now)
        if at_work:
            await wait_for_one(writer, at_work)
        else:
            await services.clock.sleep(TICK_S if now.window else 1)  # the rate allows the next one soon


def _show_plan(session: Session, found: ReplaysPlanView) -> int:
    if session.out.json:
        session.out.data(found)
        return 0
    show_causes(session, found["causes"])
    session.out.line(found["text"])
    return 0


def show(session: Session, view: ReplayView) -> int:
    """Print how it stands; return the exit code."""
    if session.out.json:
        session.out.data(view)
    else:
        session.out.line(f"{view['replay_id']}  {_progress(view)}")
    return exit_code(view)


def show_end(session: Session, view: ReplayView) -> int:
    """Print how a replay ended that this process worked on, or how to go on; return the exit code."""
    code = show(session, view)
    if view["status"] != "running":
        return code
    if not session.out.json:
        again = session.command("dead-letters", "resume", view["org"] or "_all", view["replay_id"])
        session.out.line(f"  later:  {again}")
    return 1


def exit_code(view: ReplayView) -> int:
    """Return 1 for a replay that did not do all that it was to do."""
    return 1 if view["failed"] or view["refused"] or view["status"] == "stopped" else 0


def _progress(view: ReplayView) -> str:
    counts = f"{view['completed']:,} of {view['total']:,} completed"
    unwell = {"failed again": view["failed"], "refused": view["refused"]}
    bad = "".join(f", {count:,} {name}" for name, count in unwell.items() if count)
    cause = view["reason"] or (f"waits for {view['waits_for']}" if view["waits_for"] else "")
    reason = f" ({cause})" if cause else ""
    return f"{view['status']}{reason}: {counts}{bad}"
