"""Find the reason a computed cost and a billed one differ. Pure: one pair of figures in, one reason out."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from convergence.domain.money import EXACT, exact_text

# What to add when it is not certain that our price is the list's own. The last two are of charges that earlier releases
# computed.
BASES: Final = {
    "mean_context": ", by the mean length of requests",
    "parent_kind": ", which is the price of a wider kind: the list has none of its own",
    "standard_processing": ", which is the standard one: the list has none for this processing",
}
WITHOUT_PRICE: Final = {
    "unknown_kind": "no kind of charge is known for it",
    "no_price": "our price list has no price for it",
    "unknown_currency": "our price list has it in a currency that does not exist",
}
AGAIN: Final = "the day is young: run it again"


@dataclass(slots=True)
class Pair:
    """Both sides of one day, model and kind of charge; None where a side has no figure.

    Amounts of both sides are in `currency`. `steps` is what the quantity costs at the cheapest and at the most
    expensive step of the price list, if all is listed.
    """

    computed: Decimal | None = None
    computed_quantity: Decimal | None = None
    basis: str = ""
    billed: Decimal | None = None
    billed_quantity: Decimal | None = None
    steps: tuple[Decimal, Decimal] | None = None
    currency: str = ""
    # The raw rows behind both sides, and the pipelines that loaded them.
    usage_rows: set[str] = field(default_factory=set)
    usage_pipeline: str | None = None
    bill_rows: set[str] = field(default_factory=set)
    bill_pipeline: str | None = None

    @property
    def difference(self) -> Decimal:
        """Billed minus computed."""
        return (self.billed or Decimal(0)) - (self.computed or Decimal(0))


def classify(pair: Pair, rounding: Decimal, *, young: bool = False) -> tuple[str, str]:
    """Return (reason, explanation). What one side lacks on a `young` day is late data; later on it is missing."""
    if pair.computed is None:
        return _without_cost(pair, young=young)
    if pair.billed is None:
        if pair.computed == 0:
            return "match", "free"
        return ("late_data", f"computed, not billed yet; {AGAIN}") if young else ("not_billed", "computed, not billed")
    difference = abs(pair.difference)
    if difference == 0:
        return "match", ""
    if difference <= rounding:
        return "rounding", f"within {rounding:f}"
    if pair.billed_quantity is not None and pair.billed_quantity != pair.computed_quantity:
        message = f"billed for {pair.billed_quantity:f}, used {pair.computed_quantity or 0:f}"
        return ("late_data", f"{message}; {AGAIN}") if young else ("quantity", message)
    if pair.steps is not None:
        lowest, highest = pair.steps
        if lowest < highest and lowest - rounding <= pair.billed <= highest + rounding:
            span = f"between {exact_text(lowest)} and {exact_text(highest)}"
            return "tier", f"the list price is {span}, by the length of a request; the usage reports the mean only"
    if not pair.computed:
        return "price", "billed, but free on our price list"
    ratio = (pair.billed / pair.computed).quantize(Decimal("0.0001")).normalize(EXACT)
    return "price", f"billed at {ratio:f} times our price{BASES.get(pair.basis, '')}"


def _without_cost(pair: Pair, *, young: bool) -> tuple[str, str]:
    if pair.computed_quantity is not None:
        if pair.billed is None:
            return "missing_price", "used, but neither our price list nor the bill has a price for it"
        return "missing_price", WITHOUT_PRICE.get(pair.basis, "our price list does not know it")
    if young:
        return "late_data", f"billed, but the usage API does not show it yet; {AGAIN}"
    return "missing_usage", "billed, but the usage API shows nothing of it: lost data or an unknown line item"
