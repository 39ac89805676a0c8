"""`convergence pipeline`: pause pipelines of an org and resume them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from convergence.engine.pause import pause_pipeline, resume_pipeline
from convergence.engine.services import Services
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.tenants.orgs import Org


@click.group("pipeline")
def command() -> None:
    """Pause pipelines of an org, resume them, and list the paused ones."""


@command.command("paused", cls=Command)
@click.argument("org")
@click.pass_obj
def paused(session: Session, org: str) -> int:
    """List the paused pipelines of ORG. Works while another process writes.

    \b
    Example:
      convergence pipeline paused acme
    """

    async def work() -> Mapping[str, str]:
        with session.reading() as services:
            return (await known_org(services, org)).paused_pipelines

    server = session.server()
    found = asyncio.run(work()) if server is None else _of(server.get(f"/pipelines/paused/{quoted(org)}"))
    return _show(session, org, found)


@command.command("pause", cls=Command)
@click.argument("org")
@click.argument("pipeline")
@click.option("--reason", default="", metavar="TEXT", help="Shown with the runs that wait.")
@click.pass_obj
def pause(session: Session, org: str, pipeline: str, reason: str) -> int:
    """Let no run of PIPELINE start for ORG; they wait in the queue. Runs under way go on.

    \b
    Example:
      convergence pipeline pause acme openai/cost/usage_cost --reason "figures are being restated"
    """
    return _change(
        session, org, f"pause/{quoted(org)}/{pipeline}", {"reason": reason},
        lambda services: pause_pipeline(services, org, pipeline, reason),
    )  # fmt: skip


@command.command("resume", cls=Command)
@click.argument("org")
@click.argument("pipeline")
@click.pass_obj
def resume(session: Session, org: str, pipeline: str) -> int:
    """Let the runs of a paused PIPELINE start again, those that waited first.

    \b
    Example:
      convergence pipeline resume acme openai/cost/usage_cost
    """
    return _change(
        session, org, f"resume/{quoted(org)}/{pipeline}", None,
        lambda services: resume_pipeline(services, org, pipeline),
    )  # fmt: skip


def _change(
    session: Session, org: str, path: str, body: Mapping[str, Any] | None, act: Callable[[Services], Awaitable[Org]]
) -> int:
    async def work() -> Mapping[str, str]:
        async with session.writing(f"pipeline {org}") as writer:
            await known_org(writer.services, org)
            return (await act(writer.services)).paused_pipelines

    server = session.server(writes=True)
    found = session.go(work()) if server is None else _of(server.ask("POST", f"/pipelines/{path}", json=body))
    return _show(session, org, found)


def _of(answer: Mapping[str, Any]) -> dict[str, str]:
    return {each["pipeline"]: each["reason"] for each in answer["paused"]}


def _show(session: Session, org: str, found: Mapping[str, str]) -> int:
    if session.out.json:
        session.out.data({"paused": [{"pipeline": name, "reason": reason} for name, reason in sorted(found.items())]})
    elif not found:
        session.out.line(f"{org} has no paused pipeline.")
    else:
        session.out.table(("paused", "reason"), sorted(found.items()))
    return 0
