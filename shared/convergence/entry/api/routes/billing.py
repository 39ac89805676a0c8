"""An org's billing periods and invoices: what its charges are closed and reconciled against."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from typing_extensions import TypedDict

from convergence.domain.billing_periods import TEXT_MAX, Change, PeriodKey, month_of, months
from convergence.domain.invoices import LINES_MAX, Invoice, InvoiceLine
from convergence.domain.times import following_month
from convergence.engine.billing import move_period, record_invoices, void_invoice
from convergence.engine.publication import publish_periods
from convergence.engine.reconciliation import reconciliation
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At
from convergence.errors import InvalidInput
from convergence.tenants.billing import INVOICES_MAX, BillingStore

router = APIRouter(prefix="/organizations/{org}", tags=["organizations"], route_class=StrictRoute)
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
MONTH: Final = r"^[0-9]{4}-[0-9]{2}$"
Month = Annotated[str, Field(pattern=MONTH, examples=["2026-11"])]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-12-01"])]


class KeyBody(Asked):
    """Which period: of an issuer's bill for an account, of a month."""

    month: Month
    issuer: Text = Field(examples=["OpenAI"])
    account: Text

    def key(self) -> PeriodKey:
        """Return it as the domain knows it."""
        return PeriodKey(month_of(self.month), self.issuer, self.account)


class PeriodBody(KeyBody):
    """The status that a period gets. A closed one is opened again for a reason."""

    status: Literal["Open", "Closed"]
    reason: str = Field(default="", max_length=TEXT_MAX)


class LineBody(Asked):
    """A line; `amount` is text, digit by digit."""

    line_id: Text
    amount: str = Field(max_length=50, examples=["123.45"])
    category: Literal["Usage", "Purchase", "Tax", "Credit", "Adjustment"] = "Usage"
    description: str = Field(default="", max_length=TEXT_MAX)
    grain: dict[Text, Annotated[str, Field(max_length=TEXT_MAX)]] | None = Field(default=None, max_length=20)


class InvoiceBody(KeyBody):
    """An invoice with its lines."""

    invoice_id: Text
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["USD"])
    status: Literal["Open", "Issued"] = "Issued"
    issued_on: Day | None = None
    due_on: Day | None = None
    payment_terms: str = Field(default="", max_length=TEXT_MAX)
    reference_id: str = Field(default="", max_length=TEXT_MAX)
    lines: list[LineBody] = Field(min_length=1, max_length=LINES_MAX)


class InvoicesBody(Asked):
    """Invoices that are recorded together, all or none."""

    invoices: list[InvoiceBody] = Field(min_length=1, max_length=INVOICES_MAX)


class VoidBody(Asked):
    """Which invoice counts no more."""

    issuer: Text
    invoice_id: Text


class MonthsBody(Asked):
    """Which months; by default the first one only."""

    first: Month = Field(alias="from")
    last: Month | None = Field(default=None, alias="to")


class DecisionsAnswer(TypedDict):
    """What was decided on each closed period, by currency; amounts are text."""

    periods: list[dict[str, Any]]


class PeriodAnswer(TypedDict):
    """A period, and its latest moves."""

    month: str
    issuer: str
    account: str
    status: str
    created_at: str
    updated_at: str
    changes: list[dict[str, str]]


class PeriodsAnswer(TypedDict):
    """The periods that are recorded, by month."""

    periods: list[PeriodAnswer]


class ReconciliationAnswer(TypedDict):
    """A comparison for each provider, account, period and currency; amounts are text."""

    periods: list[dict[str, Any]]


class InvoicesAnswer(TypedDict):
    """The invoices, by period and id; amounts are text."""

    invoices: list[dict[str, Any]]


@router.get("/billing-periods", response_model=PeriodsAnswer, responses=documented(404))
async def periods(org: OrgName, at: At, _: Reader) -> Json:
    """List the billing periods that are recorded."""
    await at.services.orgs.get(org)
    return Json({"periods": [each.to_data() for each in await BillingStore(at.services.documents).periods(org)]})


@router.put("/billing-periods", response_model=PeriodAnswer, responses=documented(404, 409))
async def move(org: OrgName, body: PeriodBody, at: At, caller: Admin) -> Json:
    """Open or close a billing period. Runs that would change charges of a closed one fail; who moved it is kept."""
    await at.services.orgs.get(org)
    change = Change(status=body.status, at=at.services.clock.now(), actor=caller.name, reason=body.reason)
    period = await move_period(at.services, org, body.key(), change)
    return Json(period.to_data())


@router.post("/billing-periods/publish", response_model=DecisionsAnswer, responses=documented(404))
async def publish(org: OrgName, body: MonthsBody, at: At, _: Admin) -> Json:
    """Decide anew which closed periods the view `cost_data_published` shows, such as after a bill has changed."""
    await at.services.orgs.get(org)
    asked = months(month_of(body.first), month_of(body.last or body.first))
    return Json({"periods": [each.to_data() for each in await publish_periods(at.services, org, asked)]})


@router.get("/invoices", response_model=InvoicesAnswer, responses=documented(404))
async def invoices(org: OrgName, at: At, _: Reader) -> Json:
    """List the invoices."""
    await at.services.orgs.get(org)
    return Json({"invoices": [each.to_data() for each in await BillingStore(at.services.documents).invoices(org)]})


@router.post("/invoices", status_code=201, response_model=InvoicesAnswer, responses=documented(404, 409))
async def record(org: OrgName, body: InvoicesBody, at: At, caller: Admin) -> Json:
    """Record invoices, all or none. One that is known already, or not in the currency of its charges, is refused."""
    await at.services.orgs.get(org)
    now = at.services.clock.now()
    recorded = [
        Invoice(
            key=each.key(),
            invoice_id=each.invoice_id,
            currency=each.currency,
            lines=tuple(_line(line) for line in each.lines),
            created_at=now,
            updated_at=now,
            status=each.status,
            issued_on=day_of(each.issued_on) if each.issued_on else None,
            due_on=day_of(each.due_on) if each.due_on else None,
            payment_terms=each.payment_terms,
            reference_id=each.reference_id,
            source=caller.name,
        )
        for each in body.invoices
    ]
    await record_invoices(at.services, org, recorded)
    return Json({"invoices": [each.to_data() for each in recorded]}, status_code=201)


@router.post("/invoices/void", response_model=InvoicesAnswer, responses=documented(404, 409))
async def void(org: OrgName, body: VoidBody, at: At, _: Admin) -> Json:
    """Let an invoice count no more."""
    await at.services.orgs.get(org)
    invoice = await void_invoice(at.services, org, body.issuer, body.invoice_id)
    return Json({"invoices": [invoice.to_data()]})


@router.get("/reconciliation", response_model=ReconciliationAnswer, responses=documented(404))
async def compared(
    org: OrgName,
    at: At,
    _: Reader,
    first: Annotated[str, Query(alias="from", pattern=MONTH)],
    last: Annotated[str | None, Query(alias="to", pattern=MONTH)] = None,
) -> Json:
    """Compare the charges of billing periods with the providers' own bills and the invoices."""
    await at.services.orgs.get(org)
    days = (month_of(first), following_month(month_of(last or first)) - timedelta(days=1))
    return Json({"periods": [each.to_data() for each in await reconciliation(at.services, org, *days)]})


def day_of(text: str) -> date:
    """Return a day. Raises `InvalidInput` for one that no calendar has."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a day such as 2026-11-01") from None


def _line(body: LineBody) -> InvoiceLine:
    try:
        amount = Decimal(body.amount)
    except InvalidOperation:
        raise InvalidInput(f"line {body.line_id}: {body.amount!r} is not an amount") from None
    return InvoiceLine(
        line_id=body.line_id, amount=amount, category=body.category, description=body.description, grain=body.grain
    )
