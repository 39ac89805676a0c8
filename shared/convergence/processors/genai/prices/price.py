"""One row of a price list, the kinds of charge, and their units."""

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

# A read from the cache → the kind whose price it has if a provider gives no discount on it.
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
# All kinds of charge. Usage of any other kind is a finding: `unknown_kind`.
KINDS: Final = TOKEN_KINDS | {
    *("image", "character", "second", "vector_store_byte", "code_interpreter_session", "file_search", "web_search"),
}


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


def list_processing(kind: str, processing: str) -> str:
    """Return the processing under which the list has a kind: calls, seconds and characters have one price in all."""
    return processing if kind in TOKEN_KINDS else STANDARD
