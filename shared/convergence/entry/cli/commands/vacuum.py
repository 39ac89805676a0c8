"""`convergence vacuum`: remove what has expired, and give its space back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from convergence.domain.wording import counted
from convergence.engine.retention.rows import remove_rows
from convergence.engine.retention.sweep import sweep
from convergence.engine.retention.vacuum import Survey, let_older_expire, survey
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session


@click.command("vacuum", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@click.pass_obj
def command(session: Session, dry_run: bool) -> int:
    """Remove runs, dead letters, requests and deliveries that are kept for long enough, and shrink the state's file.

    \b
    Example:
      convergence vacuum --dry-run
      convergence vacuum
    """
    if session.server() is not None:
        not_there("remove records", "a server removes by itself what has expired, every hour")
    found, after = asyncio.run(_look(session)) if dry_run else session.go(_vacuum(session))
    size = _size(session.data_dir)
    if session.out.json:
        session.out.data({"dry_run": dry_run, **asdict(found), "documents": after, "state_bytes": size})
        return 0
    would = "would remove" if dry_run else "removed"
    records = {
        "run": found.runs + found.older_runs,
        "dead letter": found.dead_letters,
        "request": found.requests,
    }
    counts = ", ".join(counted(count, noun) for noun, count in records.items())
    deliveries = counted(found.webhook_deliveries, "delivery to webhooks", "deliveries to webhooks")
    rows = "" if found.rows is None else f", {counted(found.rows, 'row')} of the log and of what was set aside"
    session.out.line(f"{would} {counts}, {deliveries}{rows}")
    if found.rows is None:
        session.out.note("rows of the warehouse are not counted: another process has it open")
    session.out.line(f"the state has {size / 2**20:,.1f} MiB")
    return 0


async def _look(session: Session) -> tuple[Survey, int]:
    with session.reading() as services:
        return await survey(services), 0


async def _vacuum(session: Session) -> tuple[Survey, int]:
    async with session.writing("vacuum") as writer:
        found = await survey(writer.services)
        await let_older_expire(writer.services)
        swept = await sweep(writer.services)
        await remove_rows(writer.services, wake=True)
        writer.compact()
        return found, swept.documents


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("state.db*"))
