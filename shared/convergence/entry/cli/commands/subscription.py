"""`convergence subscription`: the SaaS subscriptions of an org, term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from convergence.domain.status import RunStatus
from convergence.engine.dispatch import dispatch
from convergence.engine.views import runs as views
from convergence.entry.cli import remote
from convergence.entry.cli.commands.run import request_for
from convergence.entry.cli.csv_file import csv_text
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.options import Command, Day
from convergence.entry.cli.parameters import read_pairs
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.session import Session, known_org

PIPELINE: Final = "subscription/plans/edit"
STEP: Final = "store_plans"
SIZE_MAX: Final = 1_000_000  # bytes of a file
SHOWN: Final = (
    *("subscription_id", "starts_on", "ends_on", "vendor", "plan", "seats", "unit_price", "currency"),
    "billing_cycle",
)


@click.group("subscription")
def command() -> None:
    """Keep the SaaS subscriptions of an org: seats, prices and their changes."""


@command.command("set", cls=Command)
@click.argument("org")
@click.option("-p", "--param", "given", multiple=True, metavar="NAME=VALUE", help="A field of the term; repeatable.")
@click.pass_obj
def set_(session: Session, org: str, given: Sequence[str]) -> int:
    """Add a term to a subscription of ORG, or replace the one of the same first day.

    \b
    Example:
      convergence subscription set acme -p subscription_id=design -p vendor=Figma -p plan=Team -p seats=12
        -p unit_price=45 -p currency=USD -p starts_on=2026-11-01
    """
    return _edit(session, org, {**read_pairs("--param", given), "action": "set"})


@command.command("import", cls=Command)
@click.argument("org")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Remove the terms that FILE does not have.")
@click.pass_obj
def import_(session: Session, org: str, file: Path, replace: bool) -> int:
    """Add the terms of a CSV to the subscriptions of ORG; its header names the fields (docs/providers.md).

    \b
    Example:
      convergence subscription import acme plans.csv --replace
    """
    return _edit(
        session,
        org,
        {"action": "import", "plans_csv": csv_text(file, SIZE_MAX), "replace": "true" if replace else "false"},
    )


@command.command("remove", cls=Command)
@click.argument("org")
@click.argument("subscription_id")
@click.option("--starts-on", type=Day(), metavar="DATE", help="Only the term that begins on this day.")
@click.pass_obj
def remove(session: Session, org: str, subscription_id: str, starts_on: str | None) -> int:
    """Remove a subscription of ORG, or one of its terms. To end it, set ends_on instead.

    \b
    Example:
      convergence subscription remove acme design --starts-on 2026-11-01
    """
    return _edit(session, org, {"action": "remove", "subscription_id": subscription_id, "starts_on": starts_on or ""})


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the terms of ORG's subscriptions.

    \b
    Example:
      convergence subscription list acme
    """
    return _edit(session, org, {"action": "list"})


def _edit(session: Session, org: str, parameters: Mapping[str, str]) -> int:
    """An edit is a run like any other; against a server its outcome is shown as that of a run."""
    server = session.server(writes=True)
    if server is not None:
        words = ([f"{name}={value}" for name, value in parameters.items()], (), ())
        return remote.run(session, server, org, PIPELINE, words, wait=True, idempotency_key=None, force=False)
    session.check_configs()
    return session.go(_run(session, org, parameters))


async def _run(session: Session, org: str, parameters: Mapping[str, Any]) -> int:
    rows = Rows()
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"subscription {parameters['action']} {org}", rows) as writer:
        await writer.worker.start()
        run = await dispatch(writer.services, request_for(org, PIPELINE, parameters))
        ended = (await follow(writer, [run], display(session.out, rows)))[0]
        if ended.status is not RunStatus.COMPLETED:
            return await report_end(session.out, writer.services, [ended], session.command)
        found = (await views.results(writer.services, org, ended.run_id))[STEP]
    if session.out.json:
        session.out.data({"run_id": ended.run_id, "terms": found["terms"], "plans": found["plans"]})
        return 0
    session.out.table(SHOWN, [[plan.get(name, "") for name in SHOWN] for plan in found["plans"]], right={5, 6})
    if found["terms"] > len(found["plans"]):
        session.out.note(f"only the first {len(found['plans'])} of {found['terms']} terms are shown")
    return 0
