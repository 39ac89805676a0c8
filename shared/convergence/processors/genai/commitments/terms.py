"""Terms of commitments, as the org's contracts have them: providers have no API that reports what one costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from convergence.processors.genai.commitments.focus_terms import checked_terms
from convergence.processors.genai.currency import CURRENCIES
from convergence.processors.records import Record
from convergence.processors.subscription.periods import EXACT, Invoice, cents, invoices
from convergence.processors.subscription.terms import ONE_DAY, Term

# Providers whose throughput can be bought in advance, and the name of one unit of it: provisioned throughput units
# (Azure), model units (Amazon Bedrock), generative AI scale units (Vertex AI).
UNITS: Final[Mapping[str, str]] = {"azure_openai": "PTU", "bedrock": "Model Unit", "vertex": "GSU"}
HOURS: Final = 24  # of a day
_Name = Annotated[str, Field(min_length=1, max_length=500)]
_Price = Annotated[Decimal, Field(ge=0, max_digits=29, decimal_places=9)]


class Commitment(Record):
    """A number of units at one price, from `starts_on` to `ends_on` (included).

    `unit_price` is for one unit and one billing cycle; `hourly` is invoiced by day, `upfront` once for the whole term.
    `resource` is what the units serve: a deployment of Azure, the ARN of a provisioned model, a model of Vertex AI.
    `tokens_per_unit_minute` determines how many of the units its tokens need; an output token counts as `output_weight`
    tokens. `list_unit_price` is what one unit costs for one hour without a commitment.

    A commitment to `Spend` has an amount for each cycle and no units. Commitments of a whole cloud (`aws`, `azure`,
    `gcp`, `oci`) are contracts only: the cloud's bill has their cost. `billed_by: bill`: a bill has the cost of this
    one, too. Its days are spread and measured too, but are not charges: a bill that has only the purchase has the
    effective cost of the whole term with it. `focus_terms`: see `checked_terms`.
    """

    commitment_id: _Name
    provider: Literal["azure_openai", "bedrock", "vertex", "aws", "azure", "gcp", "oci"]
    commitment_type: _Name = "Provisioned Throughput"
    category: Literal["Usage", "Spend"] = "Usage"
    description: _Name | None = None
    units: int = Field(default=1, ge=1, le=10_000_000)
    unit: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z ]{0,49}$")] | None = None
    unit_price: _Price
    currency: str
    billing_cycle: Literal["hourly", "monthly", "annual", "upfront"] = "monthly"
    starts_on: date
    ends_on: date
    resource: _Name | None = None
    tokens_per_unit_minute: Annotated[_Price, Field(gt=0)] | None = None
    output_weight: _Price = Decimal(1)
    list_unit_price: _Price | None = None
    region: _Name | None = None
    billing_account_id: _Name | None = None
    billed_by: Literal["contract", "bill"] | None = None  # contract, by default
    contract_id: _Name | None = None
    contract_starts_on: date | None = None
    contract_ends_on: date | None = None
    focus_terms: Annotated[str, Field(max_length=10_000), AfterValidator(checked_terms)] | None = None

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value.upper() not in CURRENCIES:
            raise ValueError("is not a code of ISO 4217")
        return value.upper()

    @model_validator(mode="after")
    def _fits(self) -> Commitment:
        if self.ends_on < self.starts_on:
            raise ValueError(f"ends on {self.ends_on}, before it starts")
        if self.category == "Spend" and (self.units != 1 or self.unit is not None):
            raise ValueError("a commitment to Spend has no units: unit_price is the amount of a cycle")
        if self.is_charged and self.category == "Spend":
            raise ValueError(f"{self.provider} sells units: a commitment to Spend is one of the cloud")
        if self.category == "Usage" and self.unit is None and not self.is_charged:
            raise ValueError(f"name the unit that {self.provider} counts, such as Instance")
        if self.provider == "azure_openai" and self.billing_cycle == "hourly":
            raise ValueError("Azure bills throughput by the hour as usage: a commitment is monthly, annual or upfront")
        if self.tokens_per_unit_minute is not None and self.resource is None:
            raise ValueError("tokens_per_unit_minute needs the resource whose tokens are counted")
        first, last = self.contract
        if first > self.starts_on or last < self.ends_on:
            raise ValueError("the contract does not cover the commitment's days")
        return self

    @property
    def is_charged(self) -> bool:
        """Whether the commitment's days become charges."""
        return self.provider in UNITS

    @property
    def contract(self) -> tuple[date, date]:
        """First and last day of the contract: by default the commitment's own."""
        return self.contract_starts_on or self.starts_on, self.contract_ends_on or self.ends_on

    @property
    def unit_name(self) -> str | None:
        """One unit, such as PTU."""
        return None if self.category == "Spend" else self.unit or UNITS[self.provider]

    @property
    def unit_hours(self) -> int:
        """The units that a day has, in hours."""
        return self.units * HOURS

    def covers(self, day: date) -> bool:
        """Whether the day is within the term."""
        return self.starts_on <= day <= self.ends_on

    def invoices(self, first: date, last: date) -> Iterator[Invoice]:
        """Yield what is invoiced for days from `first` to `last`; a period is whole even where it is longer."""
        price = EXACT.multiply(self.unit_price, Decimal(self.units))
        if self.billing_cycle == "hourly":
            amount = EXACT.multiply(price, Decimal(HOURS))
            day = max(first, self.starts_on)
            while day <= min(last, self.ends_on):
                yield Invoice(self._term(), day, day, amount)
                day += ONE_DAY
            return
        yield from invoices([self._term()], first, last)

    def total(self) -> Decimal:
        """Return the cost of the whole term."""
        total = Decimal(0)
        for invoice in self.invoices(self.starts_on, self.ends_on):
            total = EXACT.add(total, invoice.amount)
        return total

    def _term(self) -> Term:
        """The same as a subscription, which has invoices for periods."""
        upfront = cents(EXACT.multiply(self.unit_price, Decimal(self.units)), self.currency)
        return Term(
            subscription_id=self.commitment_id[:200],
            vendor=self.provider,
            plan=self.commitment_type[:200],
            seats=self.units,
            unit_price=self.unit_price,
            currency=self.currency,
            billing_cycle="annual" if self.billing_cycle == "annual" else "monthly",
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            invoice_amount=upfront if self.billing_cycle == "upfront" else None,
        )
