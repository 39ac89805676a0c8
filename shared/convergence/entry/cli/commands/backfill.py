"""`convergence backfill`: past days of a pipeline, slice by slice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from convergence.config.parameters.dates import parse_date
from convergence.domain.backfill import CONCURRENCY_MAX, SLICES_MAX, Backfill, Mode, SliceState, Step
from convergence.domain.status import RunStatus
from convergence.engine.backfills.check_slices import check_slices
from convergence.engine.backfills.create import BackfillRequest, create_backfill, plan_backfill
from convergence.engine.backfills.feed import feed, require_backfill, run_id_of
from convergence.engine.backfills.views import BackfillView, PlanOfBackfill, backfill_view, plan_of_backfill
from convergence.engine.check_days import check_days
from convergence.engine.queue.waiting import held_back, reason_to_wait
from convergence.engine.services import Services
from convergence.engine.tick import admit_due
from convergence.engine.views.models import RunSummary
from convergence.engine.views.runs import summary
from convergence.entry.cli.follow import TICK_S, Silent, Waits, follow, stored_runs, under_way, wait_for_one
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import failure, plain_terminal
from convergence.entry.cli.parameters import force_option, read_pairs
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput

_SHOWN_MAX, _FAILED_MAX = 40, 5
_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("slices"),
    TimeRemainingColumn(),
)


@click.command("backfill", cls=Command)
@click.argument("org")
@click.argument("pipeline")
@click.option("--from", "start", required=True, metavar="DATE", help="The first day; also TODAY-n.")
@click.option("--to", "end", default="YESTERDAY", show_default=True, metavar="DATE", help="The last day.")
@click.option("--step", type=click.Choice([each.value for each in Step]), default="day", show_default=True)
@click.option(
    "--mode",
    type=click.Choice([each.value for each in Mode]),
    default="missing",
    show_default=True,
    help="Slices that no run completed, those whose last run failed, or all.",
)
@click.option("--order", type=click.Choice(["newest", "oldest"]), default="newest", show_default=True)
@click.option("--concurrency", type=click.IntRange(1, CONCURRENCY_MAX), default=1, show_default=True)
@click.option(
    "--failures-max", type=click.IntRange(1, SLICES_MAX), default=10, show_default=True, help="Stop after so many."
)
@click.option("--credential-id", default="", help="The credential of the runs.")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@force_option
@click.option("--dry-run", is_flag=True, help="Only list the slices and what would happen to them.")
@click.pass_obj
def command(session: Session, /, org: str, pipeline: str, dry_run: bool, **given: Any) -> int:
    """Run PIPELINE for ORG once for each day, week or month of a range.

    \b
    Example:
      convergence backfill acme openai/cost/usage_cost --from 2026-01-01 --to 2026-03-31 --dry-run
      convergence backfill acme openai/cost/usage_cost --from TODAY-30 --concurrency 4
    """
    given["parameters"] = read_pairs("--parameter", given["parameters"])
    server = session.server(writes=not dry_run)
    if server is not None:
        names = {"start": "from", "end": "to"}
        today = date.today()  # noqa: DTZ011 - the caller's own day, as `run` takes it
        given |= {name: parse_date(given[name], today).isoformat() for name in names}
        body = {names.get(name, name): value for name, value in given.items()}
        path = f"/pipelines/backfill/{quoted(org)}/{pipeline}"
        answer = server.ask("POST", path, json=body, params={"dry_run": str(dry_run).lower()})
        return _show_plan(session, answer) if dry_run else show(session, answer)
    return session.go(_local(session, org, pipeline, given, dry_run=dry_run))


async def _local(session: Session, org: str, pipeline: str, given: dict[str, Any], *, dry_run: bool) -> int:
    if dry_run:
        with session.reading() as services:
            plan = await plan_backfill(services, await _request(services, org, pipeline, {**given, "force": True}))
            return _show_plan(session, plan_of_backfill(plan))
    async with session.writing(f"backfill {org}") as writer:
        made = await create_backfill(writer.services, await _request(writer.services, org, pipeline, given))
        return await to_its_end(session, writer, made)


async def to_its_end(session: Session, writer: Writer, backfill: Backfill) -> int:
    """Run here what is left of a backfill, as no server does it; show how it ended and return the exit code."""
    await writer.worker.start()
    return show_end(session, *await go_on(session, writer, backfill))


async def go_on(session: Session, writer: Writer, backfill: Backfill) -> tuple[BackfillView, list[RunSummary]]:
    """Let a worker that has started do what is left of a backfill; return how it ended, and its runs that failed.

    Its last runs and what is chained to them end, too, before the process may. It is left running where all that it
    waits for is the end of a pause, or of the org's day or month.
    """
    services, org, waits = writer.services, backfill.org, Waits(session.out)
    hidden = session.out.json or plain_terminal() or not sys.stderr.isatty()
    with Progress(*_COLUMNS, console=Console(stderr=True), disable=hidden) as progress:
        bar = progress.add_task(backfill.pipeline, total=len(backfill.states))
        while True:
            now = await feed(services, backfill.backfill_id) or backfill
            counts = now.counts()
            progress.update(bar, completed=len(now.states) - counts["open"] - counts["running"])
            if now.over or not (now.window or now.others):
                break
            await admit_due(services)
            if not await _some_end(writer, now, waits):
                break
    ended = await stored_runs(services, _runs_of(now))
    chained = [name for run in ended for name in run.children]
    await follow(writer, [*ended, *await stored_runs(services, chained)], Silent())
    await feed(services, backfill.backfill_id)
    final = (await require_backfill(services, org, backfill.backfill_id)).backfill
    return backfill_view(final), [await summary(services, org, name) for name in _runs_of(final, SliceState.FAILED)]


def _runs_of(backfill: Backfill, *states: SliceState) -> list[str]:
    """Return the ids of its runs in the order in which they started: of slices in these states, or of all.

    Their ids follow from their slices: one that ended between two looks is not missed.
    """
    indexes = [index for index, state in enumerate(backfill.states) if not states or state in states]
    return [run_id_of(backfill, index) for index in (reversed(indexes) if backfill.newest_first else indexes)]


async def _some_end(writer: Writer, now: Backfill, waits: Waits) -> bool:
    """Wait until a run has ended, or a while; False when all of the backfill's are queued and no end makes room."""
    services = writer.services
    runs = await stored_runs(services, [*now.window, *now.others])
    at_work = [run for run in runs if run.status is not RunStatus.QUEUED]
    if at_work or not runs:
        if at_work:
            await wait_for_one(writer, at_work)
        return True
    others = await under_way(services)
    reason = await reason_to_wait(services, runs[0])
    if others:
        waits.say(f"backfill {now.backfill_id}", reason, others)
        await wait_for_one(writer, others)
    elif await held_back(services, runs[0]):
        waits.say(f"backfill {now.backfill_id}", reason, [])
        return False
    else:
        await services.clock.sleep(TICK_S)  # its turn comes soon
    return True


async def _request(services: Services, org: str, pipeline: str, given: dict[str, Any]) -> BackfillRequest:
    await known_org(services, org)
    today = services.clock.now().date()
    try:
        start, end = parse_date(given["start"], today), parse_date(given["end"], today)
    except ValueError as error:
        raise InvalidInput(f"--from and --to: each {error}") from error
    if not given["force"]:
        check_days(services, pipeline, {"start_date": start.isoformat(), "end_date": end.isoformat()})
        check_slices(services, pipeline, Step(given["step"]))
    return BackfillRequest(
        org=org,
        pipeline=pipeline,
        start=start,
        end=end,
        step=Step(given["step"]),
        mode=Mode(given["mode"]),
        newest_first=given["order"] == "newest",
        concurrency=given["concurrency"],
        failures_max=given["failures_max"],
        credential_id=given["credential_id"],
        parameters=given["parameters"],
    )


def _show_plan(session: Session, plan: PlanOfBackfill) -> int:
    if session.out.json:
        session.out.data(plan)
        return 0
    rows = [
        (each["start"], each["end"], each["state"], each["action"], "" if each["rows"] is None else f"{each['rows']:,}")
        for each in plan["slices"][:_SHOWN_MAX]
    ]
    session.out.table(("from", "to", "state", "action", "rows"), rows, right={4})
    if len(plan["slices"]) > _SHOWN_MAX:
        session.out.line(f"… and {len(plan['slices']) - _SHOWN_MAX:,} more")
    about = "" if plan["rows"] is None else f", about {plan['rows']:,} rows"
    session.out.line(f"{plan['runs']:,} runs, {plan['replaced']:,} complete slices replaced{about}")
    size = plan["bytes_processed"]
    read = "" if size is None else f"about {plan['cost_usd']} USD on demand, {size / 2**30:,.3f} GiB read"
    cost = read or "unknown, no earlier run reports what it read"
    session.out.wrapped(f"cost in the warehouse: {cost}", indent="")
    return 0


def show(session: Session, view: BackfillView, failed: Sequence[RunSummary] = ()) -> int:
    """Print how it ended; `failed` are its runs that failed."""
    if session.out.json:
        session.out.data({**view, "failed": failed} if failed else view)
    else:
        counts = ", ".join(f"{count:,} {name}" for name, count in view["counts"].items() if count)
        reason = f" ({view['reason']})" if view["reason"] else ""
        session.out.line(f"{view['backfill_id']}  {view['status']}{reason}: {counts}")
        for run in failed[:_FAILED_MAX]:
            session.out.wrapped(f"{run['start_date']}  {run['run_id']}  {failure(run)}")
        if len(failed) > _FAILED_MAX:
            session.out.line(f"  … and {len(failed) - _FAILED_MAX:,} more")
        if failed:
            session.out.line(f"  look:   {session.command('logs', failed[0]['run_id'])}")
            session.out.line(f"  again:  {session.command('replay', failed[0]['run_id'])}")
    return exit_code(view)


def show_end(session: Session, view: BackfillView, failed: Sequence[RunSummary] = ()) -> int:
    """Print how a backfill ended that this process worked on, or how to go on; return the exit code."""
    code = show(session, view, failed)
    if view["status"] != "running":
        return code
    if not session.out.json:
        session.out.line(f"  later:  {session.command('backfills', 'resume', view['org'], view['backfill_id'])}")
    return 1


def exit_code(view: BackfillView) -> int:
    """Return 1 for a backfill that did not do all that it was to do."""
    counts = view["counts"]
    return 1 if counts["failed"] or counts["cancelled"] or view["status"] == "stopped" else 0
