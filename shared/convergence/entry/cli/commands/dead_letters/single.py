"""Look at dead letters; send, discard or replay one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any

import click

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.wording import counted
from convergence.engine.dead_letters import act
from convergence.engine.services import Services
from convergence.engine.views import dead_letters as views
from convergence.engine.views.dead_letters import DeadLetterDetail, DeadLetters, Summary
from convergence.entry.cli.commands import replay
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
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session


@command.command("list", cls=Command)
@click.argument("org")
@filter_options
@click.option("--state", type=click.Choice([each.value for each in DeadLetterState]), help="Only those in this state.")
@click.option("--by-cause", is_flag=True, help="Count them by error code, pipeline and step.")
@click.option("--limit", type=int, default=20, show_default=True, help="How many, at most 500.")
@click.option("--cursor", metavar="TEXT", help="Continue after the page that returned this cursor.")
@click.pass_obj
def list_(session: Session, /, org: str, by_cause: bool, limit: int, cursor: str | None, **given: Any) -> int:
    """List the dead letters of ORG, latest first. Works while another process writes.

    \b
    Example:
      convergence dead-letters list acme
      convergence dead-letters list _all --by-cause --state open
      convergence dead-letters list acme --code step.failed --newer-than 24h
    """
    page = {} if by_cause else {"limit": limit, "cursor": cursor}

    async def work(services: Services) -> Summary | DeadLetters:
        criteria = await criteria_of(services, org, given)
        if by_cause:
            return await views.summary(services, criteria)
        return await views.dead_letters(services, criteria, limit=limit, cursor=cursor)

    path = f"/dead-letters/{quoted(org)}{'/summary' if by_cause else ''}"
    found: Any = look(session, org, work, path, {**given, **page})
    if session.out.json:
        session.out.data(found)
    elif by_cause:
        _show_causes(session, org, found)
    else:
        _show_page(session, org, found, limit)
    return 0


@command.command("show", cls=Command)
@click.argument("org")
@click.argument("letter_id", metavar="DEAD_LETTER")
@click.pass_obj
def show(session: Session, org: str, letter_id: str) -> int:
    """Show a DEAD_LETTER: the reason, the first failing frame, its run, its parameters.

    \b
    Example:
      convergence dead-letters show acme run_5f0c2d9a.extract_usage.0
    """

    async def work(services: Services) -> DeadLetterDetail:
        return await views.detail(services, reach_of(org), letter_id, payload=True)

    _print(session, look(session, org, work, _path(org, letter_id)))
    return 0


@command.command("send", cls=Command)
@click.argument("org")
@click.argument("letter_id", metavar="DEAD_LETTER")
@click.pass_obj
def send(session: Session, org: str, letter_id: str) -> int:
    """Publish a message again that could not be handled. On a server this needs the operator's key.

    \b
    Example:
      convergence dead-letters send _all message.5f0c2d9a4be1c7d83f60
    """

    async def work(services: Services) -> DeadLetterDetail:
        await act.send_again(services, reach_of(org), letter_id, by=BY)
        return await views.detail(services, reach_of(org), letter_id, payload=True)

    server = session.server(writes=True)
    if server is None:
        _print(session, session.go(_writing(session, f"dead-letters send {org}", work)))
    else:
        _print(session, server.ask("POST", f"{_path(org, letter_id)}/send", root=True))
    return 0


@command.command("discard", cls=Command)
@click.argument("org")
@click.argument("letter_id", metavar="DEAD_LETTER")
@click.option("--reason", required=True, metavar="TEXT", help="Why nothing needs to be done; it is kept.")
@click.pass_obj
def discard(session: Session, org: str, letter_id: str, reason: str) -> int:
    """Close a DEAD_LETTER without doing anything about it.

    \b
    Example:
      convergence dead-letters discard acme run_5f0c2d9a.extract_usage.0 --reason "no data before May"
    """

    async def work(services: Services) -> DeadLetterDetail:
        await act.discard(services, reach_of(org), letter_id, reason=reason, by=BY)
        return await views.detail(services, reach_of(org), letter_id, payload=True)

    server = session.server(writes=True)
    if server is None:
        _print(session, session.go(_writing(session, f"dead-letters discard {org}", work)))
    else:
        _print(
            session, server.ask("POST", f"{_path(org, letter_id)}/discard", root=is_every(org), json={"reason": reason})
        )
    return 0


_replay = copy(replay.command)
_replay.help = str(replay.command.help).replace("convergence replay", "convergence dead-letters replay")
command.add_command(_replay, "replay")


async def _writing(session: Session, purpose: str, work: Callable[[Services], Awaitable[Any]]) -> Any:
    async with session.writing(purpose) as writer:
        return await work(writer.services)


def _path(org: str, letter_id: str) -> str:
    return f"/dead-letters/{quoted(org)}/{quoted(letter_id)}"


def _show_causes(session: Session, org: str, found: Summary) -> None:
    if not found["causes"]:
        session.out.line(f"{_whose(org)} no such dead letters.")
        return
    show_causes(session, found["causes"])
    session.out.line(counted(found["total"], "dead letter") + ("" if found["complete"] else ", the latest ones only"))


def _show_page(session: Session, org: str, page: DeadLetters, limit: int) -> None:
    rows = [
        (
            *((each["org"],) if is_every(org) else ()),
            each["letter_id"],
            each["state"],
            each["created_at"][:19].replace("T", " "),
            each["attempts"],
            each["code"],
            each["error_message"],
        )
        for each in page["dead_letters"]
    ]
    more = page["cursor"]
    if not rows and more is None:
        session.out.line(f"{_whose(org)} no dead letters.")
        return
    org_column = ("org",) if is_every(org) else ()
    names = (*org_column, "dead letter", "", "failed (UTC)", "attempts", "code", "error")
    session.out.table(names, rows, right={len(names) - 3})
    if more is not None:
        session.out.note(
            f"more: {session.command('dead-letters', 'list', org, '--limit', str(limit), '--cursor', more)}"
        )


def _whose(org: str) -> str:
    return "There are" if is_every(org) else f"{org} has"


def _print(session: Session, found: DeadLetterDetail) -> None:
    if session.out.json:
        session.out.data(found)
        return
    line = session.out.line
    line(f"{found['letter_id']}  {found['state']}  {found['created_at'][:19].replace('T', ' ')} UTC")
    line(f"{found['code']}: {found['error_message']}")
    where = {
        "in": found["frame"],
        "run": None if found["run_id"] is None else f"{found['run_id']} ({found['run_status'] or 'removed'})",
        "step": found["step_id"],
        "attempts": str(found["attempts"]) if found["attempts"] else None,
        "topic": found.get("topic"),
        "closed": found["closed_at"] and f"by {found['closed_by']}: {found['closed_reason']}",
    }
    for name, text in where.items():
        if text:
            line(f"  {name}: {text}")
    for name, value in found["parameters"].items():
        change = found["changes"].get(name)
        line(f"  parameter {name}: {value}" + ("" if change is None else f" → {change['after']}"))
    if found["payload"] is not None:
        line(found["payload"])
