"""`convergence resume`: finish what earlier processes left."""

from __future__ import annotations

from collections.abc import Mapping

import click

from convergence.domain.run import Run
from convergence.domain.wording import counted
from convergence.engine.backfills.feed import running_backfills
from convergence.engine.backfills.views import BackfillView
from convergence.engine.dead_letters.replays import running_replays
from convergence.engine.services import Services
from convergence.engine.views.dead_letter_replays import ReplayView
from convergence.engine.views.models import RunSummary
from convergence.engine.views.runs import status
from convergence.entry.cli.commands import backfill
from convergence.entry.cli.commands.dead_letters import many
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.options import SilentCommand
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.sandbox import UNFINISHED
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session
from convergence.ports.documents import Order


@click.command("resume", cls=SilentCommand)
@click.pass_obj
def command(session: Session) -> int:
    """Finish what was interrupted: by Ctrl-C, by a crash, or because it was started without waiting.

    Runs, what is chained to them, backfills, and replays of dead letters.

    \b
    Example:
      convergence resume
    """
    if session.server() is not None:
        not_there("resume on request", "a server finishes by itself what an earlier process left, when it starts")
    if not session.data_dir.exists():
        return _nothing(session)
    session.check_configs()
    return session.go(_resume(session))


async def _resume(session: Session) -> int:
    rows = Rows()
    async with session.writing("resume", rows) as writer:
        services = writer.services
        left, backfills = await unfinished(services), await running_backfills(services)
        replays = await running_replays(services)
        if not (left or backfills or replays):
            return _nothing(session)
        if not session.out.json:
            counts = {"unfinished run": len(left), "running backfill": len(backfills), "running replay": len(replays)}
            session.out.note(_to_finish(counts))
        await writer.worker.start()
        followed = await _runs(session, writer, rows, {}, {each.backfill_id for each in backfills})
        of_backfills = [await backfill.go_on(session, writer, each) for each in backfills]
        of_replays = [await many.go_on(session, writer, each) for each in replays]
        followed = await _runs(session, writer, rows, followed, set())
        return await _report(session, services, list(followed.values()), of_backfills, of_replays)


async def _runs(
    session: Session, writer: Writer, rows: Rows, followed: dict[str, Run], others: set[str]
) -> dict[str, Run]:
    """Follow the unfinished runs, but those of backfills, which are followed as a whole, until none is left."""
    while left := [
        run for run in await unfinished(writer.services) if run.run_id not in followed and run.backfill_id not in others
    ]:
        ended = await follow(writer, left, display(session.out, rows))
        followed = followed | {run.run_id: run for run in [*left, *ended]}
    return followed


async def _report(
    session: Session,
    services: Services,
    runs: list[Run],
    backfills: list[tuple[BackfillView, list[RunSummary]]],
    replays: list[ReplayView],
) -> int:
    if session.out.json:
        views = [await status(services, run.org, run.run_id) for run in runs]
        session.out.data({"runs": views, "backfills": [view for view, _ in backfills], "replays": replays})
        codes = [int(view["status"] != "completed") for view in views]
    else:
        codes = [await report_end(session.out, services, runs, session.command, several=True)] if runs else []
        for view, failed in backfills:
            backfill.show_end(session, view, failed)
        for each in replays:
            many.show_end(session, each)
    codes += [*(backfill.exit_code(view) for view, _ in backfills), *map(many.exit_code, replays)]
    codes += [int(view["status"] == "running") for view in (*(view for view, _ in backfills), *replays)]
    return max(codes, default=0)


def _to_finish(counts: Mapping[str, int]) -> str:
    return ", ".join(counted(count, word) for word, count in counts.items() if count) + " to finish"


async def unfinished(services: Services) -> list[Run]:
    """Return the runs for which something is left to do, oldest first."""
    found: list[Run] = []
    cursor: str | None = None
    while True:
        page = await services.documents.query("runs", where=UNFINISHED, order=[Order("check_at")], cursor=cursor)
        found += [Run.from_data(document.data) for document in page.documents]
        if page.cursor is None:
            return sorted(found, key=lambda run: run.created_at)
        cursor = page.cursor


def _nothing(session: Session) -> int:
    if session.out.json:
        session.out.data({"runs": [], "backfills": [], "replays": []})
    else:
        session.out.line("Nothing is unfinished.")
    return 0
