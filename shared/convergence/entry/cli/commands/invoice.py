"""`convergence invoice`: what providers have invoiced an org for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import click

from convergence.domain.invoices import Invoice
from convergence.engine.billing import record_invoices, void_invoice
from convergence.entry.cli.commands.period import ACTOR
from convergence.entry.cli.csv_file import csv_text
from convergence.entry.cli.options import Command, Day, Month
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.tenants.billing import BillingStore
from convergence.tenants.invoice_csv import read_invoices

SIZE_MAX: Final = 4_000_000  # bytes of a file
_HEADER: Final = "InvoiceIssuerName,BillingAccountId,BillingPeriodStart,InvoiceId,BillingCurrency,BilledCost"


@click.group("invoice")
def command() -> None:
    """Record what providers have invoiced an org for."""


@command.command("import", cls=Command)
@click.argument("org")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_(session: Session, org: str, file: Path) -> int:
    """Record the invoices of the CSV FILE, all or none: one line of an invoice in each record.

    The header has InvoiceIssuerName, BillingAccountId, BillingPeriodStart, InvoiceId, BillingCurrency and BilledCost,
    and may have further columns of FOCUS's Invoice Detail (docs/focus.md).

    \b
    Example:
      convergence invoice import acme invoices.csv
    """
    return _record(session, org, csv_text(file, SIZE_MAX))


@command.command("add", cls=Command)
@click.argument("org")
@click.argument("invoice_id")
@click.option("--issuer", required=True, metavar="NAME", help="InvoiceIssuerName of the charges.")
@click.option("--account", required=True, metavar="ID", help="BillingAccountId of the charges.")
@click.option("--month", type=Month(), required=True, metavar="MONTH", help="The billing period, as 2026-11.")
@click.option("--amount", required=True, metavar="AMOUNT", help="Of the invoice, without tax.")
@click.option("--tax", default="", metavar="AMOUNT", help="The tax on it.")
@click.option("--currency", required=True, metavar="CODE", help="ISO 4217.")
@click.option("--issued-on", type=Day(), metavar="DATE", help="Also TODAY-n, YESTERDAY.")
@click.option("--due-on", type=Day(), metavar="DATE")
@click.option("--payment-terms", default="", metavar="TEXT")
@click.pass_obj
def add(session: Session, /, org: str, month: date, **given: str | None) -> int:
    """Record the invoice INVOICE_ID of ORG with one amount, and its tax.

    \b
    Example:
      convergence invoice add acme INV-7 --issuer OpenAI --account org-123 --month 2026-10 --amount 812.50
        --currency USD
    """
    import csv
    import io

    header = [*_HEADER.split(","), "ChargeCategory", "InvoiceIssueDate", "PaymentDueDate", "PaymentTerms"]
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(header)
    for category, amount in (("Usage", given["amount"]), ("Tax", given["tax"])):
        if amount:
            first = (given["issuer"], given["account"], month.isoformat(), given["invoice_id"], given["currency"])
            lines.writerow([*first, amount, category, given["issued_on"], given["due_on"], given["payment_terms"]])
    return _record(session, org, text.getvalue())


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the invoices of ORG. Works while another process writes.

    \b
    Example:
      convergence invoice list acme
    """

    async def work() -> list[dict[str, Any]]:
        with session.reading() as services:
            await known_org(services, org)
            return [each.to_data() for each in await BillingStore(services.documents).invoices(org)]

    server = session.server()
    return _show(session, asyncio.run(work()) if server is None else server.get(_path(org))["invoices"])


@command.command("void", cls=Command)
@click.argument("org")
@click.argument("issuer")
@click.argument("invoice_id")
@click.pass_obj
def void(session: Session, org: str, issuer: str, invoice_id: str) -> int:
    """Void an invoice of ORG: it no longer counts, and stays in the list.

    \b
    Example:
      convergence invoice void acme OpenAI INV-7
    """

    async def work() -> dict[str, Any]:
        async with session.writing(f"invoice {org}") as writer:
            services = writer.services
            await known_org(services, org)
            return (await void_invoice(services, org, issuer, invoice_id)).to_data()

    server = session.server(writes=True)
    if server is None:
        return _show(session, [session.go(work())])
    asked = {"issuer": issuer, "invoice_id": invoice_id}
    return _show(session, server.ask("POST", f"{_path(org)}/void", json=asked)["invoices"])


def _record(session: Session, org: str, text: str) -> int:
    async def work() -> list[Invoice]:
        async with session.writing(f"invoice {org}") as writer:
            services = writer.services
            await known_org(services, org)
            invoices = read_invoices(text, at=services.clock.now(), source=ACTOR)
            await record_invoices(services, org, invoices)
            return invoices

    server = session.server(writes=True)
    if server is None:
        return _show(session, [each.to_data() for each in session.go(work())])
    now = datetime.fromisoformat("1970-01-01T00:00:00+00:00")  # the server says when
    asked = [_asked(each) for each in read_invoices(text, at=now, source="")]
    return _show(session, server.ask("POST", _path(org), json={"invoices": asked})["invoices"])


def _asked(invoice: Invoice) -> dict[str, Any]:
    """Return an invoice as the API takes it."""
    data = invoice.to_data()
    own = {name: value for name, value in data.items() if name not in {"source", "created_at", "updated_at"}}
    return {**own, "month": data["month"][:7]}


def _show(session: Session, invoices: Sequence[dict[str, Any]]) -> int:
    if session.out.json:
        session.out.data({"invoices": invoices})
        return 0
    names = ("invoice_id", "issuer", "account", "month", "status", "currency")
    rows = [
        [each["month"][:7] if name == "month" else each[name] for name in names] + [Invoice.from_data(each).total]
        for each in invoices
    ]
    session.out.table((*names, "total"), rows, right={6})
    return 0


def _path(org: str) -> str:
    return f"/organizations/{quoted(org)}/invoices"
