"""Terms of subscriptions: what was bought, and from which day. A change (seats, plan, price) is a new term."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Final, Literal, get_args

from pydantic import Field, field_validator, model_validator

from convergence.errors import StepFailed
from convergence.processors.genai.currency import CURRENCIES
from convergence.processors.record_editor import RECORDS_MAX
from convergence.processors.records import Record

ONE_DAY: Final = timedelta(days=1)
Cycle = Literal["monthly", "quarterly", "annual"]
MONTHS: Final[Mapping[str, int]] = {"monthly": 1, "quarterly": 3, "annual": 12}


class Term(Record):
    """Seats of one plan at one price, from `starts_on` to `ends_on` (included; open without, or until the next term).

    `unit_price` is for one seat and one billing cycle. Days up to `trial_ends_on` cost nothing. Periods are counted
    from `billing_anchor`: by default the first paid day since the last gap or change of cycle, so a change of seats in
    the middle of a period pays for its own days. `invoice_amount` is what was invoiced for the whole term, such as a
    prepayment; it replaces the price. `refund: none` is a cancellation without a refund for the rest of the period.
    `refund_amount` was refunded on `refund_on`.
    """

    subscription_id: str = Field(min_length=1, max_length=200)
    vendor: str = Field(min_length=1, max_length=200)
    plan: str = Field(min_length=1, max_length=200)
    seats: int = Field(ge=1, le=10_000_000)
    unit_price: Decimal = Field(ge=0, max_digits=20, decimal_places=9)
    currency: str
    billing_cycle: Cycle = "monthly"
    starts_on: date
    ends_on: date | None = None
    trial_ends_on: date | None = None
    billing_anchor: date | None = None
    invoice_amount: Decimal | None = Field(default=None, ge=0, max_digits=20, decimal_places=9)
    refund: Literal["prorated", "none"] = "prorated"
    refund_on: date | None = None
    refund_amount: Decimal | None = Field(default=None, gt=0, max_digits=20, decimal_places=9)
    billing_account_id: str | None = None

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value.upper() not in CURRENCIES:
            raise ValueError("is not a code of ISO 4217")
        return value.upper()

    @model_validator(mode="after")
    def _in_order(self) -> Term:
        if self.ends_on is not None and self.ends_on < self.starts_on:
            raise ValueError(f"ends on {self.ends_on}, before it starts")
        if self.trial_ends_on is not None and self.trial_ends_on < self.starts_on:
            raise ValueError(f"the trial ends on {self.trial_ends_on}, before it starts")
        if self.invoice_amount is not None and self.ends_on is None:
            raise ValueError("invoice_amount is for a whole term, so it needs ends_on")
        if (self.refund_on is None) != (self.refund_amount is None):
            raise ValueError("refund_on and refund_amount go together")
        return self

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.subscription_id} from {self.starts_on}"

    @property
    def first_paid(self) -> date:
        """The first day that is not a trial's."""
        return self.starts_on if self.trial_ends_on is None else self.trial_ends_on + ONE_DAY


def successive(terms: Iterable[Term]) -> list[list[Term]]:
    """Return the terms of each subscription in order, each ended by the next one.

    Raises `StepFailed` for two terms of one day, two currencies of one subscription, or too many terms.
    """
    known = sorted(terms, key=lambda term: (term.subscription_id, term.starts_on))
    if len(known) > RECORDS_MAX:
        raise StepFailed(f"{len(known)} terms are more than {RECORDS_MAX}")
    return [_ended(list(group)) for _, group in groupby(known, key=lambda term: term.subscription_id)]


def _ended(terms: Sequence[Term]) -> list[Term]:
    ended = []
    for term, following in pairwise(terms):
        last = following.starts_on - ONE_DAY
        if last < term.starts_on or (term.ends_on is not None and term.ends_on > last):
            raise StepFailed(f"{following.name}: the term from {term.starts_on} covers this day already")
        ended.append(
            term if term.ends_on is not None else term.model_copy(update={"ends_on": last, "refund": "prorated"})
        )
    if len({term.currency for term in terms}) > 1:
        raise StepFailed(
            f"{terms[0].subscription_id}: terms in two currencies; give the later one a new subscription_id"
        )
    return [*ended, terms[-1]]


assert set(get_args(Cycle)) == MONTHS.keys(), "every cycle has a length"
