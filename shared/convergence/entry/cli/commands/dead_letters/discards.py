"""`convergence dead-letters discard-all`: close what needs nothing more, by a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.wording import counted
from convergence.engine.dead_letters.discards import discard_all, plan_discards
from convergence.engine.views.dead_letter_discards import DiscardsPlanView, discards_plan_view
from convergence.entry.cli.commands.dead_letters.group import (
    BY,
    command,
    criteria_of,
    filter_options,
    is_every,
    show_causes,
)
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session


@command.command("discard-all", cls=Command)
@click.argument("org")
@filter_options
@click.option("--reason", required=True, metavar="TEXT", help="Why nothing needs to be done; each one keeps it.")
@click.option("--dry-run", is_flag=True, help="Only count what would be discarded.")
@click.pass_obj
def discards(session: Session, /, org: str, dry_run: bool, **given: Any) -> int:
    """Close all open dead letters of ORG that the options name; interrupted, it is called again.

    \b
    Example:
      convergence dead-letters discard-all acme --code schema.mismatch --reason "replaced by May's file" --dry-run
      convergence dead-letters discard-all _all --older-than 30d --reason "before we had the account"
    """
    server = session.server(writes=not dry_run)
    if server is not None:
        path, root = f"/dead-letters/{quoted(org)}/discards", is_every(org)
        if dry_run:
            return _show_plan(session, server.ask("POST", path, json=given, params={"dry_run": "true"}, root=root))
        answer = server.ask("POST", path, json=given, root=root)
        discarded = answer["discarded"]
        while answer["cursor"] is not None:
            answer = server.ask("POST", path, json=given, params={"cursor": answer["cursor"]}, root=root)
            discarded += answer["discarded"]
        return _show(session, discarded)
    return session.go(_dry(session, org, given) if dry_run else _local(session, org, given))


async def _dry(session: Session, org: str, given: Mapping[str, Any]) -> int:
    with session.reading() as services:
        criteria = await criteria_of(services, org, {**given, "state": DeadLetterState.OPEN.value})
        return _show_plan(session, discards_plan_view(await plan_discards(services, criteria, reason=given["reason"])))


async def _local(session: Session, org: str, given: Mapping[str, Any]) -> int:
    async with session.writing(f"dead-letters discard-all {org}") as writer:
        criteria = await criteria_of(writer.services, org, {**given, "state": DeadLetterState.OPEN.value})
        done = await discard_all(writer.services, criteria, reason=given["reason"], by=BY)
        discarded = done.dead_letters
        while done.cursor is not None:
            done = await discard_all(writer.services, criteria, reason=given["reason"], by=BY, cursor=done.cursor)
            discarded += done.dead_letters
        return _show(session, discarded)


def _show_plan(session: Session, found: DiscardsPlanView) -> int:
    if session.out.json:
        session.out.data(found)
        return 0
    show_causes(session, found["causes"])
    session.out.line(found["text"])
    return 0


def _show(session: Session, discarded: int) -> int:
    if session.out.json:
        session.out.data({"discarded": discarded})
    else:
        session.out.line(f"discarded {counted(discarded, 'dead letter')}")
    return 0
