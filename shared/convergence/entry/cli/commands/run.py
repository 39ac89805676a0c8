"""`convergence run`: start a pipeline and see it to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import click

from convergence.engine.check_days import check_days
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.services import Services
from convergence.entry.cli import remote
from convergence.entry.cli.demo_sandbox import with_sandbox
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.installation import Writer
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import force_option, parameter_options, read_pairs, read_parameters
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.session import Session, known_org
from convergence.ports.bus import RUN_EVENTS, Bus, Message


@click.command("run", cls=Command)
@click.argument("org")
@click.argument("pipeline")
@parameter_options
@click.option("--wait/--no-wait", default=True, help="Without waiting, `convergence resume` does the work later.")
@click.option(
    "--idempotency-key", metavar="TEXT", help="The same key returns the same run and never starts a second one."
)
@force_option
@click.pass_obj
def command(
    session: Session,
    org: str,
    pipeline: str,
    given: Sequence[str],
    variables: Sequence[str],
    files: Sequence[str],
    wait: bool,
    idempotency_key: str | None,
    force: bool,
) -> int:
    """Run PIPELINE for ORG and wait for its end.

    \b
    Example:
      convergence run acme openai/cost/usage_cost -p start_date=2026-11-01 -p end_date=2026-11-07
      convergence run acme openai/auth/setup --secret-from-env api_key=OPENAI_ADMIN_KEY
    """
    server = session.server(writes=True)
    if server is not None:
        words = (given, variables, files)
        return remote.run(
            session, server, org, pipeline, words, wait=wait, idempotency_key=idempotency_key, force=force
        )
    session.check_configs()
    with session.reading() as services:  # nothing is locked, created or started for an invalid request
        loaded = services.catalog.get(pipeline)
        if not force:
            check_days(services, loaded.path, read_pairs("-p", given))
    parameters = read_parameters(loaded.path, loaded.pipeline.parameters, given, variables, files)
    request = request_for(org, pipeline, parameters, idempotency_key=idempotency_key)
    return session.go(_run(session, request, wait=wait))


def request_for(
    org: str,
    pipeline: str,
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    trigger: str = "manual",
) -> RunRequest:
    """Return the request; the parameter `credential_id` names the credential of the whole run."""
    return RunRequest(
        org=org,
        pipeline=pipeline,
        parameters=parameters,
        credential_id=str(parameters.get("credential_id", "")),
        idempotency_key=idempotency_key,
        trigger=trigger,
    )


async def _run(session: Session, request: RunRequest, *, wait: bool) -> int:
    rows = Rows()
    with session.reading() as services:
        await known_org(services, request.org)
    async with session.writing(f"run {request.pipeline}", rows) as writer, AsyncExitStack() as stack:
        request = await with_sandbox(session, writer.services, request, stack)
        if not wait:
            run = await dispatch(unheard(writer).services, request)
            return later(session, run.run_id, run.status.value)
        await writer.worker.start()
        run = await dispatch(writer.services, request)
        ended = await follow(writer, [run], display(session.out, rows))
        return await report_end(session.out, writer.services, ended, session.command)


def later(session: Session, run_id: str, status: str) -> int:
    """Report that a run is accepted, and which process will execute it."""
    if session.out.json:
        session.out.data({"run_id": run_id, "status": status})
    else:
        session.out.line(f"accepted  {run_id}; do the work with: {session.command('resume')}")
    return 0


@dataclass(frozen=True, slots=True)
class _Unheard:
    """A bus on which hints for steps are lost, as any hint may be: another process does the work. Events pass."""

    bus: Bus

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Pass events on."""
        if topic == RUN_EVENTS:
            await self.bus.publish(topic, messages)


def unheard(writer: Writer) -> Writer:
    """Return the writer with a bus that starts no step here."""
    services: Services = writer.services
    return replace(writer, services=replace(services, bus=_Unheard(services.bus)))
