"""`convergence dead-letters`: list the steps that failed for good."""

from __future__ import annotations

import asyncio

import click

from convergence.engine.views import runs as views
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org


@click.command("dead-letters", cls=Command)
@click.argument("org")
@click.option("--limit", type=int, default=20, show_default=True, help="How many, at most 500.")
@click.option("--cursor", metavar="TEXT", help="Continue after the page that returned this cursor.")
@click.pass_obj
def command(session: Session, org: str, limit: int, cursor: str | None) -> int:
    """List the dead letters of ORG: steps that failed for good, latest first. Works while another process writes.

    \b
    Example:
      convergence dead-letters acme
    """
    if session.server() is not None:
        not_there("list dead letters", f"the runs that failed: {session.command('history', org, '--status', 'failed')}")
    return asyncio.run(_letters(session, org, limit, cursor))


async def _letters(session: Session, org: str, limit: int, cursor: str | None) -> int:
    with session.reading() as services:
        await known_org(services, org)
        page = await views.dead_letters(services, org, limit=limit, cursor=cursor)
    if session.out.json:
        session.out.data(page)
        return 0
    rows = [
        (
            dead_letter["letter_id"],
            "replayed" if dead_letter["replayed"] else "open",
            dead_letter["created_at"][:19].replace("T", " "),
            dead_letter["attempts"],
            dead_letter["code"],
            dead_letter["error_message"],
        )
        for dead_letter in page["dead_letters"]
    ]
    if not rows:
        session.out.line(f"{org} has no dead letters.")
        return 0
    session.out.table(("dead letter", "", "failed (UTC)", "attempts", "code", "error"), rows, right={3})
    if page["cursor"] is not None:
        more = session.command("dead-letters", org, "--limit", str(limit), "--cursor", page["cursor"])
        session.out.note(f"more: {more}")
    return 0
