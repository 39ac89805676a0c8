"""The demo's main job: store a key, load prices, ask for usage and bill, compute cost, write FOCUS rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from convergence.config.parameters.dates import parse_date
from convergence.config.parameters.doubts import doubtful_days
from convergence.domain.quota import Limits
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.views import runs as views
from convergence.entry.cli.commands.demo.figures import figures
from convergence.entry.cli.commands.demo.report import Report, print_report
from convergence.entry.cli.commands.demo.source import Source, source
from convergence.entry.cli.commands.org import create_org
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.sandbox import TRIGGER
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput, NotFound

ORG: Final = "demo"
LIMITS: Final = Limits(daily=10_000, monthly=100_000, concurrent=20)
SETUP, USAGE_COST = "openai/auth/setup", "openai/cost/usage_cost"
DAYS: Final = 7


def dates(start: str | None, end: str | None, now: datetime) -> tuple[date, date]:
    """Return the range: the last complete days where nothing is given. Raises `InvalidInput`."""
    today = now.astimezone(UTC).date()
    try:
        last = today - timedelta(days=1) if end is None else parse_date(end, today)
        first = last - timedelta(days=DAYS - 1) if start is None else parse_date(start, today)
    except ValueError as error:
        raise InvalidInput(f"--start and --end: each {error}") from error
    if first > last:
        raise InvalidInput(f"the demo's first day {first} is after its last day {last}")
    if doubt := doubtful_days({"start_date": first.isoformat(), "end_date": last.isoformat()}, today):
        raise InvalidInput(f"{doubt}; the demo replays figures of days that are over")
    return first, last


async def run_demo(session: Session, start: str | None, end: str | None) -> int:
    """Do it for the days from `start` to `end` and print the report; return the exit code."""
    rows = Rows()
    with session.reading() as services:
        first, last = dates(start, end, services.clock.now())
    async with session.writing("demo", rows) as writer, source(session) as asked:
        if not session.out.json:
            session.out.line(asked.description + "\n")
        await ensure_org(writer)
        await writer.worker.start()
        secret = {"api_key": asked.key}
        setup = await _run(session, writer, rows, SETUP, asked, secret)
        if setup.status is not RunStatus.COMPLETED:
            return await report_end(session.out, writer.services, [setup], session.command)
        days = {"start_date": first.isoformat(), "end_date": last.isoformat()}
        run = await _run(session, writer, rows, USAGE_COST, asked, days)
        if run.status is not RunStatus.COMPLETED:
            return await report_end(session.out, writer.services, [run], session.command)
        report = await _report(session, writer, asked, run)
    if session.out.json:
        session.out.data(report.to_data())
    else:
        print_report(session, report)
    return 0


async def ensure_org(writer: Writer) -> None:
    """Create the demo's org unless it exists."""
    try:
        await writer.services.orgs.get(ORG)
    except NotFound:
        await create_org(writer.services, ORG, "Demo", LIMITS, {"admin_email": "ops@demo.example"}, demo=True)


async def _run(
    session: Session, writer: Writer, rows: Rows, pipeline: str, asked: Source, parameters: Mapping[str, Any]
) -> Run:
    """Run a pipeline to its end. Runs that need the sandbox are marked, in case another process finishes them."""
    request = RunRequest(org=ORG, pipeline=pipeline, parameters=parameters)
    if asked.base_url is not None:
        request = replace(request, parameters={**parameters, "api_base_url": asked.base_url}, trigger=TRIGGER)
    accepted = await dispatch(writer.services, request)
    return (await follow(writer, [accepted], display(session.out, rows)))[0]


async def _report(session: Session, writer: Writer, asked: Source, run: Run) -> Report:
    services = writer.services
    return Report(
        source=asked.description,
        sandbox=asked.sandbox,
        run=await views.status(services, ORG, run.run_id),
        results=await views.results(services, ORG, run.run_id),
        figures=await figures(services, run),
        log=session.installation.log_file(session.place),
    )
