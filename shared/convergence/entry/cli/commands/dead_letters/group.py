"""The group, and what its commands have in common: which dead letters, and where."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.times import duration
from convergence.engine.dead_letters.find import Filter
from convergence.engine.services import Services
from convergence.engine.views.dead_letters import CauseView
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])
EVERY_ORG: Final = "_all"
BY: Final = "cli"


class Group(click.Group):
    """Its commands; an org in their place lists that org's dead letters, as earlier releases did."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)


def filter_options(command: F) -> F:
    """Add the options that say which dead letters."""
    for decorate in (
        click.option("--newer-than", metavar="AGE", help="Younger than 90m, 24h, 7d …"),
        click.option("--older-than", metavar="AGE", help="Older than 90m, 24h, 7d …"),
        click.option("--code", metavar="TEXT", help="Those with this error code."),
        click.option("--step", metavar="STEP", help="Those of this step."),
        click.option("--pipeline", metavar="PATH", help="Those of this pipeline."),
    ):
        command = decorate(command)
    return command


@click.group("dead-letters", cls=Group)
def command() -> None:
    """List, show, replay, send and discard what failed for good; `_all` for ORG means every org."""


def is_every(org: str) -> bool:
    """Tell whether all orgs are meant."""
    return org == EVERY_ORG


def reach_of(org: str) -> str | None:
    """Return the org, None for all."""
    return None if is_every(org) else org


async def criteria_of(services: Services, org: str, given: Mapping[str, Any]) -> Filter:
    """Return the filter of a command's options. Raises `NotFound` for an org and `InvalidInput` for an age."""
    if not is_every(org):
        await known_org(services, org)
    now, state = services.clock.now(), given.get("state")
    return Filter(
        org=reach_of(org),
        pipeline=given["pipeline"],
        step_id=given["step"],
        code=given["code"],
        state=None if state is None else DeadLetterState(state),
        before=_ago(now, "--older-than", given["older_than"]),
        after=_ago(now, "--newer-than", given["newer_than"]),
    )


def look(
    session: Session,
    org: str,
    work: Callable[[Services], Awaitable[Any]],
    path: str,
    query: Mapping[str, Any] | None = None,
) -> Any:
    """Return what `work` finds here, or what a server answers on `path`."""

    async def reading() -> Any:
        with session.reading() as services:
            return await work(services)

    server = session.server()
    return asyncio.run(reading()) if server is None else server.get(path, query, root=is_every(org))


def show_causes(session: Session, causes: Sequence[CauseView]) -> None:
    """Print how many dead letters each cause has."""
    rows = [(f"{each['count']:,}", each["code"], each["pipeline"] or "", each["step_id"] or "") for each in causes]
    if rows:
        session.out.table(("", "code", "pipeline", "step"), rows, right={0})


def _ago(now: datetime, option: str, age: str | None) -> datetime | None:
    if age is None:
        return None
    known = duration(age)
    try:
        if known is not None:
            return now - known
    except OverflowError:
        pass
    raise InvalidInput(f"{option} takes an age such as 90m, 24h or 7d, not {age[:40]!r}")
