"""`convergence period`: the billing periods of an org, open or closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final, Literal

import click

from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey, months
from convergence.domain.times import following_month
from convergence.engine.billing import move_period
from convergence.engine.publication import publish_periods
from convergence.engine.reconciliation import reconciliation
from convergence.entry.cli.options import Command, Month
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.tenants.billing import BillingStore

ACTOR: Final = "command line"
COMPARED: Final = (
    *("month", "provider", "issuer", "account", "currency", "computed", "billed", "invoiced", "difference"),
    *("unexplained", "tolerance", "state", "tax_state"),
)


@click.group("period")
def command() -> None:
    """Close the billing periods of an org: their charges no longer change."""


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the billing periods of ORG that are recorded. Works while another process writes.

    \b
    Example:
      convergence period list acme
    """

    async def work() -> list[dict[str, Any]]:
        with session.reading() as services:
            await known_org(services, org)
            return [period.to_data() for period in await BillingStore(services.documents).periods(org)]

    server = session.server()
    found = asyncio.run(work()) if server is None else server.get(_path(org))["periods"]
    return _show(session, found)


@command.command("close", cls=Command)
@click.argument("org")
@click.argument("month", type=Month())
@click.argument("issuer")
@click.argument("account")
@click.option("--reason", default="", metavar="TEXT", help="Kept with the period.")
@click.pass_obj
def close(session: Session, org: str, month: date, issuer: str, account: str, reason: str) -> int:
    """Close the period MONTH of ISSUER's bill for ACCOUNT: a run that would change one of its charges fails.

    ISSUER and ACCOUNT are InvoiceIssuerName and BillingAccountId of the charges.

    \b
    Example:
      convergence period close acme 2026-10 OpenAI org-123
    """
    return _move(session, org, PeriodKey(month, issuer, account), "Closed", reason)


@command.command("open", cls=Command)
@click.argument("org")
@click.argument("month", type=Month())
@click.argument("issuer")
@click.argument("account")
@click.pass_obj
def open_(session: Session, org: str, month: date, issuer: str, account: str) -> int:
    """Record the period MONTH of ISSUER's bill for ACCOUNT as open.

    \b
    Example:
      convergence period open acme 2026-11 OpenAI org-123
    """
    return _move(session, org, PeriodKey(month, issuer, account), "Open", "")


@command.command("reopen", cls=Command)
@click.argument("org")
@click.argument("month", type=Month())
@click.argument("issuer")
@click.argument("account")
@click.option("--reason", required=True, metavar="TEXT", help="Kept with the period.")
@click.pass_obj
def reopen(session: Session, org: str, month: date, issuer: str, account: str, reason: str) -> int:
    """Open a closed period again, for a reason that is kept with who did it and when.

    \b
    Example:
      convergence period reopen acme 2026-10 OpenAI org-123 --reason "the provider restated its bill"
    """
    return _move(session, org, PeriodKey(month, issuer, account), "Open", reason)


@command.command("reconcile", cls=Command)
@click.argument("org")
@click.option("--from", "first", type=Month(), required=True, metavar="MONTH", help="First month, as 2026-10.")
@click.option("--to", "last", type=Month(), metavar="MONTH", help="Last month; by default the first one.")
@click.pass_obj
def reconcile(session: Session, org: str, first: date, last: date | None) -> int:
    """Compare the charges of ORG with its providers' bills and its invoices, within the tolerance of FOCUS 1.4.

    \b
    Example:
      convergence period reconcile acme --from 2026-10
    """
    until = last or first

    async def work() -> list[dict[str, Any]]:
        async with session.writing(f"period {org}") as writer:
            await known_org(writer.services, org)
            days = (first, following_month(until) - timedelta(days=1))
            return [each.to_data() for each in await reconciliation(writer.services, org, *days)]

    server = session.server(writes=True)
    if server is None:
        found = session.go(work())
    else:
        months = {"from": f"{first:%Y-%m}", "to": f"{until:%Y-%m}"}
        found = server.get(f"/organizations/{quoted(org)}/reconciliation", months)["periods"]
    if session.out.json:
        session.out.data({"periods": found})
        return 0
    session.out.table(
        (*COMPARED, "reasons"),
        [
            [
                *(each[name] for name in COMPARED),
                ", ".join(f"{name} {amount}" for name, amount in each["reasons"].items()),
            ]
            for each in found
        ],
        right=set(range(5, 11)),
    )
    return 0


@command.command("publish", cls=Command)
@click.argument("org")
@click.option("--from", "first", type=Month(), required=True, metavar="MONTH", help="First month, as 2026-10.")
@click.option("--to", "last", type=Month(), metavar="MONTH", help="Last month; by default the first one.")
@click.pass_obj
def publish(session: Session, org: str, first: date, last: date | None) -> int:
    """Determine again which closed periods of ORG the view cost_data_published shows, such as after a bill has changed.

    \b
    Example:
      convergence period publish acme --from 2026-10
    """
    until = last or first

    async def work() -> list[dict[str, Any]]:
        async with session.writing(f"period {org}") as writer:
            await known_org(writer.services, org)
            return [each.to_data() for each in await publish_periods(writer.services, org, months(first, until))]

    server = session.server(writes=True)
    if server is None:
        found = session.go(work())
    else:
        asked = {"from": f"{first:%Y-%m}", "to": f"{until:%Y-%m}"}
        found = server.ask("POST", f"{_path(org)}/publish", json=asked)["periods"]
    if session.out.json:
        session.out.data({"periods": found})
        return 0
    names = ("month", "issuer", "account", "currency", "charges", "cost", "published", "reason")
    session.out.table(names, [[each[name] for name in names] for each in found], right={4, 5})
    return 0


def _move(session: Session, org: str, key: PeriodKey, status: Literal["Open", "Closed"], reason: str) -> int:
    async def work() -> BillingPeriod:
        async with session.writing(f"period {org}") as writer:
            services = writer.services
            await known_org(services, org)
            change = Change(status=status, at=services.clock.now(), actor=ACTOR, reason=reason)
            return await move_period(services, org, key, change)

    server = session.server(writes=True)
    if server is None:
        return _show(session, [session.go(work()).to_data()])
    body = {"month": f"{key.month:%Y-%m}", "issuer": key.issuer, "account": key.account}
    return _show(session, [server.ask("PUT", _path(org), json={**body, "status": status, "reason": reason})])


def _show(session: Session, periods: Sequence[dict[str, Any]]) -> int:
    if session.out.json:
        session.out.data({"periods": periods})
        return 0
    names = ("month", "issuer", "account", "status", "updated_at")
    rows = [[each[name] for name in names] + [each["changes"][-1]["reason"]] for each in periods]
    session.out.table((*names, "reason"), [[row[0][:7], *row[1:]] for row in rows])
    return 0


def _path(org: str) -> str:
    return f"/organizations/{quoted(org)}/billing-periods"
