"""`convergence history`: the runs of an org."""

from __future__ import annotations

import asyncio

import click

from convergence.engine.views import runs as views
from convergence.engine.views.models import History, RunSummary
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import failure, outcome, seconds
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org


@click.command("history", cls=Command)
@click.argument("org")
@click.option("--provider", metavar="NAME", help="Only runs of this provider's pipelines.")
@click.option("--status", "expected", metavar="WORD", help="Only runs with this status.")
@click.option("--limit", type=int, default=20, show_default=True, help="How many, at most 500.")
@click.option("--cursor", metavar="TEXT", help="Continue after the page that returned this cursor.")
@click.pass_obj
def command(
    session: Session, org: str, provider: str | None, expected: str | None, limit: int, cursor: str | None
) -> int:
    """List the runs of ORG, latest first. Works while another process writes.

    \b
    Example:
      convergence history acme --status failed --limit 5
    """
    server = session.server()
    page: History
    if server is None:
        page = asyncio.run(_read(session, org, provider, expected, limit, cursor))
    else:
        asked = {"provider": provider, "status": expected, "limit": limit, "cursor": cursor}
        page = server.get(f"/pipelines/history/{quoted(org)}", asked)
    return _show(session, org, page, filtered=bool(expected or provider), limit=limit)


async def _read(
    session: Session, org: str, provider: str | None, expected: str | None, limit: int, cursor: str | None
) -> History:
    with session.reading() as services:
        await known_org(services, org)
        return await views.history(services, org, provider=provider, status=expected, limit=limit, cursor=cursor)


def _show(session: Session, org: str, page: History, *, filtered: bool, limit: int) -> int:
    if session.out.json:
        session.out.data(page)
        return 0
    rows = [
        (
            run["run_id"],
            outcome(run),
            run["pipeline"],
            _dates(run),
            run["created_at"][:19].replace("T", " "),
            run["trigger"],
            seconds(run["duration_ms"]),
            f"{run['records_processed']:,}",
            f"{run['rows_written']:,}",
            "; ".join(_details(run)),
        )
        for run in page["runs"]
    ]
    if not rows:
        session.out.line(f"{org} has no such run yet." if filtered else f"{org} has no run yet.")
        return 0
    headers = ("run", "status", "pipeline", "dates", "began (UTC)", "trigger", "time", "read", "written", "")
    session.out.table(headers, rows, right={6, 7, 8})
    if page["cursor"] is not None:
        session.out.note(f"more: {session.command('history', org, '--limit', str(limit), '--cursor', page['cursor'])}")
    return 0


def _dates(run: RunSummary) -> str:
    first, last = run["start_date"], run["end_date"]
    return first or "" if first == last else f"{first} to {last}"


def _details(run: RunSummary) -> list[str]:
    """Return credential, changes by replays, and the error last: that may be long."""
    found = [f"credential {run['credential_id']}"] if run["credential_id"] else []
    found += [f"replay {change['epoch']} changed {change['name']}" for change in run["changes"]]
    return found + ([failure(run)] if run["error_message"] else [])
