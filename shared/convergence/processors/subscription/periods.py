"""A term's invoices, and each day's share of them. The shares of a period add up to its invoice, to the last digit.

A term that begins within a period is invoiced for the rest of the period; for one that ends within it the rest is
refunded, each rounded to cents, as on prorated bills. So a change that leaves the price as it is costs nothing.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from convergence.processors.subscription.terms import MONTHS, ONE_DAY, Term

EXACT: Final = Context(prec=60, rounding=ROUND_HALF_UP)
SHARE: Final = Decimal(1).scaleb(-9)  # to which a day's share is rounded
# Digits after the decimal point that money of a currency has; all others have two. Source: ISO 4217 (CLF and UYW are
# units of account that prices are agreed in).
_MINOR: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invoice:
    """What is invoiced for the days from `first` to `last` (included): a whole period, or a term's part of one."""

    term: Term
    first: date
    last: date
    amount: Decimal

    @property
    def days(self) -> int:
        """How many days it pays for."""
        return (self.last - self.first).days + 1

    def share(self, day: date, amount: Decimal | None = None) -> Decimal:
        """Return the day's share of the amount (or of another one, such as the same in a different currency)."""
        whole, number = self.amount if amount is None else amount, (day - self.first).days
        return _accrued(whole, number + 1, self.days) - _accrued(whole, number, self.days)


def cents(amount: Decimal, currency: str) -> Decimal:
    """Return the amount as money of its currency, rounded half away from zero."""
    return amount.quantize(Decimal(1).scaleb(-_MINOR.get(currency, 2)), context=EXACT)


def invoices(terms: Sequence[Term], first: date, last: date) -> Iterator[Invoice]:
    """Yield what one subscription's terms (`successive`) are invoiced, as far as it pays for days of this range."""
    anchors = _anchors(terms)
    for number, term in enumerate(terms):
        ends = term.ends_on or last
        if term.first_paid > ends:
            continue
        if term.invoice_amount is not None:
            found = [Invoice(term, term.first_paid, ends, cents(term.invoice_amount, term.currency))]
        else:
            cancelled = term.ends_on is not None and number == len(terms) - 1 and term.refund == "none"
            found = list(_periods(term, anchors[number], last, cancelled=cancelled))
        yield from (each for each in found if each.first <= last and each.last >= first)


def _anchors(terms: Sequence[Term]) -> list[date]:
    """Return the day that each term's periods are counted from: that of the term before, unless there is a gap between
    them or the billing cycle is another one."""
    found: list[date] = []
    for number, term in enumerate(terms):
        before = terms[number - 1] if number else None
        goes_on = (
            before is not None
            and before.ends_on == term.starts_on - ONE_DAY
            and before.billing_cycle == term.billing_cycle
        )
        found.append(term.billing_anchor or (found[-1] if goes_on else term.first_paid))
    return found


def _periods(term: Term, anchor: date, until: date, *, cancelled: bool) -> Iterator[Invoice]:
    months, number = MONTHS[term.billing_cycle], 0
    while _at(anchor, months * number) > term.first_paid:  # an anchor that is after the first day
        number -= 1
    while (start := _at(anchor, months * number)) <= min(term.ends_on or until, until):
        end = _at(anchor, months * (number + 1))
        number += 1
        first, last = max(start, term.first_paid), min(end - ONE_DAY, term.ends_on or date.max)
        if last < first:
            continue
        amount = _rest(term, start, end, first)
        if not cancelled:
            amount = EXACT.subtract(amount, _rest(term, start, end, last + ONE_DAY))
        yield Invoice(term, first, last, amount)


def _rest(term: Term, start: date, end: date, day: date) -> Decimal:
    """Return what the term costs from a day on to the end of the period from `start` to `end` (excluded), in cents."""
    price = EXACT.multiply(term.unit_price, Decimal(term.seats))
    days, of = Decimal((end - day).days), Decimal((end - start).days)
    return cents(EXACT.divide(EXACT.multiply(price, days), of), term.currency)


def _at(anchor: date, months: int) -> date:
    """Return the day that many months after the anchor; the month's last day if it has no such day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def _accrued(amount: Decimal, days: int, of: int) -> Decimal:
    return EXACT.divide(EXACT.multiply(amount, Decimal(days)), Decimal(of)).quantize(SHARE, context=EXACT)
