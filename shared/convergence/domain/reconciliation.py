"""Charges against the provider's own bill and the invoice, by provider, billing account, period and currency.

The tolerance is that of FOCUS 1.4 for the charges of an invoice: max(100 subunits, half a subunit x the square root of
the number of rows); tax is compared separately. Charges that were made to fill the difference to the bill (`residual`)
are on neither side.

An invoice covers the charges of its billing period, including corrections of earlier ones. The provider's own bill
covers days of usage, so there a correction counts towards the period that it corrects; seats are not on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.invoices import Invoice
from convergence.domain.money import EXACT, exact_sum

ZERO: Final = Decimal(0)
TAX: Final = "Tax"
MATCHED, WITHIN, EXPLAINED, OVER, NOT_COMPARED = "matched", "within", "explained", "over", "not_compared"
ALL_PROVIDERS: Final = ""  # provider of the comparison with an invoice over charges of several
NO_CHARGES: Final = ""  # issuer and account of a bill whose credential has no charges, or those of several accounts
# ISO 4217: how many digits the subunit of a currency has, where it is not two.
_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"), 0),
    **dict.fromkeys(("VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
SEATS: Final = "seats"  # reason: what the provider's own bill does not have
# What an invoice may have and charges lack: the reason of the difference by ChargeCategory.
_REASONS: Final[Mapping[str, str]] = {"Credit": "credit", "Purchase": "purchase", "Adjustment": "adjustment"}


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What is compared."""

    month: date
    provider: str
    issuer: str
    account: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """Charges of one ChargeCategory that one credential brought.

    `corrects`: of corrections, the first day of the period that they are about; their subject has that in which they
    are billed. `seats`: whether they are of a contract, which the provider's own bill does not have.
    """

    subject: Subject
    credential: str
    category: str
    rows: int
    cost: Decimal
    corrects: date | None = None
    seats: bool = False

    @property
    def used(self) -> Subject:
        """The subject with the period of the usage."""
        return self.subject if self.corrects is None else replace(self.subject, month=self.corrects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What the provider's API bills a credential for in a month, and how it differs from our cost, for one reason."""

    month: date
    provider: str
    credential: str
    currency: str
    reason: str
    cost: Decimal
    difference: Decimal


_Credential = tuple[date, str, str, str]  # month, provider, credential, currency


@dataclass(slots=True)
class _Sides:
    charges: list[Charged] = field(default_factory=list)  # by billing period
    used: list[Charged] = field(default_factory=list)  # by the period of the usage
    bills: list[Billed] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The result for one subject. `billed` and `invoiced` are None where there is neither bill nor invoice.

    `difference`: invoice minus charges; without an invoice, bill minus charges. `reasons`: its parts that have one, as
    the comparison of days and the invoice's lines say. `unexplained` is the rest, and with it what changed since that
    comparison. `state`: matched; within the tolerance; explained, when only the unexplained rest is; over it;
    not_compared.
    """

    subject: Subject
    rows: int
    computed: Decimal
    billed: Decimal | None
    invoiced: Decimal | None
    difference: Decimal | None
    reasons: Mapping[str, Decimal] = field(default_factory=dict)
    unexplained: Decimal | None = None
    tolerance: Decimal = ZERO
    state: str = NOT_COMPARED
    computed_tax: Decimal = ZERO
    invoiced_tax: Decimal | None = None
    tax_state: str = NOT_COMPARED

    def to_data(self) -> dict[str, Any]:
        """Return JSON; amounts are text."""
        named = {name: getattr(self.subject, name) for name in ("provider", "issuer", "account", "currency")}
        amounts = ("computed", "billed", "invoiced", "difference", "unexplained", "tolerance")
        return {
            "month": f"{self.subject.month:%Y-%m}",
            **named,
            "rows": self.rows,
            **{name: amount_text(getattr(self, name)) for name in amounts},
            "state": self.state,
            "reasons": {name: amount_text(amount) for name, amount in sorted(self.reasons.items())},
            "computed_tax": amount_text(self.computed_tax),
            "invoiced_tax": amount_text(self.invoiced_tax),
            "tax_state": self.tax_state,
        }


def tolerance(currency: str, rows: int) -> Decimal:
    """Return by how much sums over `rows` charges may differ from an invoice."""
    subunit = Decimal(1).scaleb(-_DIGITS.get(currency, 2))
    half = EXACT.multiply(EXACT.sqrt(Decimal(rows)), subunit / 2)
    return max(100 * subunit, half.quantize(Decimal("1E-14"), context=EXACT))


def reconcile(charges: Sequence[Charged], bills: Sequence[Billed], invoices: Iterable[Invoice]) -> list[Reconciled]:
    """Return the answer for everything that was charged, billed or invoiced."""
    providers = {(each.subject.issuer, each.subject.account): each.subject.provider for each in charges}
    accounts: defaultdict[_Credential, set[Subject]] = defaultdict(set)
    found: defaultdict[Subject, _Sides] = defaultdict(_Sides)
    for charge in charges:
        found[charge.subject].charges.append(charge)
        found[charge.used].used.append(charge)
        if not charge.seats:
            own = charge.used
            accounts[own.month, own.provider, charge.credential, own.currency].add(own)
    of_credential: defaultdict[_Credential, list[Billed]] = defaultdict(list)
    for bill in bills:
        of_credential[bill.month, bill.provider, bill.credential, bill.currency].append(bill)
    for key, those in of_credential.items():
        _side_of(key, accounts[key], found).bills += those
    counting = [invoice for invoice in invoices if invoice.status != "Voided"]
    for invoice in counting:
        found[_invoiced(invoice, providers, found)].invoices.append(invoice)
    return [_reconciled(subject, sides) for subject, sides in sorted(found.items(), key=lambda each: each[0])]


def _reconciled(subject: Subject, sides: _Sides) -> Reconciled:
    bills, invoices = sides.bills, sides.invoices
    charges = sides.charges if invoices else sides.used
    lines = [line for invoice in invoices for line in invoice.lines]
    taxed = [each for each in charges if each.category == TAX]
    rows = sum(each.rows for each in charges if each.category != TAX)
    computed = exact_sum(each.cost for each in charges if each.category != TAX)
    billed = exact_sum(bill.cost for bill in bills) if bills else None
    invoiced = exact_sum(line.amount for line in lines if line.category != TAX) if invoices else None
    reasons = _reasons(charges, bills, invoices)
    allowed = tolerance(subject.currency, rows)
    other = billed if invoiced is None else invoiced
    compared = other is not None
    difference = ZERO if other is None else EXACT.subtract(other, computed)
    unexplained = EXACT.subtract(difference, exact_sum(reasons.values()))
    computed_tax = exact_sum(each.cost for each in taxed)
    invoiced_tax = exact_sum(line.amount for line in lines if line.category == TAX) if invoices else None
    return Reconciled(
        subject=subject,
        rows=rows,
        computed=computed,
        billed=billed,
        invoiced=invoiced,
        difference=difference if compared else None,
        reasons=reasons,
        unexplained=unexplained if compared else None,
        tolerance=allowed,
        state=_state(difference, unexplained, allowed) if compared else NOT_COMPARED,
        computed_tax=computed_tax,
        invoiced_tax=invoiced_tax,
        tax_state=NOT_COMPARED if invoiced_tax is None else _tax_state(subject, taxed, computed_tax, invoiced_tax),
    )


def _reasons(charges: Sequence[Charged], bills: Sequence[Billed], invoices: Sequence[Invoice]) -> dict[str, Decimal]:
    """Return the parts of the difference that have a reason: those of the bill, what only the invoice has, or seats
    that only the charges have."""
    found: dict[str, Decimal] = {}
    for bill in bills:
        if bill.difference:
            found[bill.reason] = EXACT.add(found.get(bill.reason, ZERO), bill.difference)
    seats = exact_sum(each.cost for each in charges if each.seats and each.category != TAX)
    if seats and not invoices:
        found[SEATS] = EXACT.minus(seats)
    charged = {each.category for each in charges}
    for line in (line for invoice in invoices for line in invoice.lines):
        reason = _REASONS.get(line.category)
        if reason is not None and line.category not in charged:
            found[reason] = EXACT.add(found.get(reason, ZERO), line.amount)
    return found


def _state(difference: Decimal, unexplained: Decimal, allowed: Decimal) -> str:
    if not difference:
        return MATCHED
    if abs(difference) <= allowed:
        return WITHIN
    return EXPLAINED if abs(unexplained) <= allowed else OVER


def _tax_state(subject: Subject, taxed: Sequence[Charged], computed: Decimal, invoiced: Decimal) -> str:
    difference = EXACT.subtract(invoiced, computed)
    return _state(difference, difference, tolerance(subject.currency, sum(each.rows for each in taxed)))


def _side_of(key: _Credential, of: set[Subject], found: defaultdict[Subject, _Sides]) -> _Sides:
    """Return the sides of the one account that a credential's charges are of, else of all of them together."""
    if len(of) == 1:
        return found[next(iter(of))]
    month, provider, credential, currency = key
    sides = found[Subject(month, provider, NO_CHARGES, NO_CHARGES, currency)]
    used = (each for subject in sorted(of) for each in found[subject].used)
    sides.used += [each for each in used if each.credential == credential and not each.seats]
    return sides


def _invoiced(
    invoice: Invoice, providers: Mapping[tuple[str, str], str], found: defaultdict[Subject, _Sides]
) -> Subject:
    """Return what an invoice is of: over charges of several providers a subject of its own, with their sides."""
    key = invoice.key
    provider = providers.get((key.issuer, key.account), ALL_PROVIDERS)
    own = Subject(key.month, provider, key.issuer, key.account, invoice.currency)
    whole = replace(own, provider=ALL_PROVIDERS)
    parts = [each for each in found if each.provider and replace(each, provider=ALL_PROVIDERS) == whole]
    if len(parts) < 2:
        return parts[0] if parts else own
    if whole not in found:
        sides = [found[each] for each in parts]
        found[whole] = _Sides(
            charges=[charge for each in sides for charge in each.charges],
            bills=[bill for each in sides for bill in each.bills],
        )
    return whole


def amount_text(amount: Decimal | None) -> str | None:
    """Return an amount without zeros at its end."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
