"""One row of a price list, and which kinds and processings may take the price of another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

# Pricing unit → how much of the consumed unit it holds.
UNIT_SIZES: Final = {
    "1000000 Tokens": Decimal(1_000_000),
    "1000000 Characters": Decimal(1_000_000),
    "1000 Calls": Decimal(1000),
    "Hours": Decimal(3600),  # of seconds
}
STANDARD: Final = "standard"
ANY_MODEL: Final = "*"

# A kind that has no price of its own is charged like its parent, where the parent is the dearer one: a cache read is a
# discount on the input. The other kinds (audio, images, cache writes) cost more than plain input or output; without a
# price of their own they have none.
PARENT: Final = {
    "cached_input": "input",
    "cached_input_audio": "input_audio",
    "cached_input_image": "input_image",
}
TOKEN_KINDS: Final = frozenset(
    {
        *PARENT,
        *PARENT.values(),
        *("cache_write", "cache_write_1h", "cache_write_12h", "output", "output_audio", "output_image"),
        "decision_input",  # OpenAI's Decisions API charges one price for all input, and none for output
    }
)
# All kinds of charge. What is used beside them is a finding: `unknown_kind`.
KINDS: Final = TOKEN_KINDS | {
    *("image", "character", "second", "vector_store_byte", "code_interpreter_session", "file_search", "web_search"),
}
# Discounts on the standard processing, whose price may stand in for theirs. Others (fast, priority) cost more.
DISCOUNTED: Final = frozenset({"batch", "flex", "flex_discount"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the list; `price` is in `currency` per `unit`."""

    model: str
    kind: str
    unit: str
    processing: str
    above_input_tokens: int
    price: Decimal
    currency: str
    effective_from: date | None
    effective_to: date | None
    source: str
    source_version: str
    region: str | None = None

    @property
    def price_id(self) -> str:
        """Which row of the list this is, readable: `model/kind/processing/step[/region]@first day`."""
        where = f"/{self.region}" if self.region else ""
        since = "open" if self.effective_from is None else self.effective_from.isoformat()
        return f"{self.model}/{self.kind}/{self.processing}/{self.above_input_tokens}{where}@{since}"

    def holds(self, day: date) -> bool:
        """Whether the price is in force."""
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day < self.effective_to
        )


def processings(kind: str, processing: str) -> tuple[str, ...]:
    """Return the processings whose price holds for usage of this one, nearest first.

    A call, a second or a character is charged the same whatever the processing of its tokens.
    """
    if processing != STANDARD and (processing in DISCOUNTED or kind not in TOKEN_KINDS):
        return processing, STANDARD
    return (processing,)
