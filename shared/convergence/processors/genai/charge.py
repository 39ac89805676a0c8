"""One charge: a quantity at the price that holds for it, to the last digit.

Money is Decimal; a cost keeps 18 digits after the decimal point, more than any finite price per token needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import EXACT
from convergence.ports.http.json_text import read_json
from convergence.processors.genai.currency import CURRENCIES
from convergence.processors.genai.prices.lookup import Found
from convergence.processors.genai.prices.price import KINDS, UNIT_SIZES, Price

DIGITS: Final = Decimal(1).scaleb(-18)
QUANTITY_DIGITS: Final = Decimal(1).scaleb(-9)  # with the nine of a price, so that the product keeps every digit
PRICE_DIGITS: Final = Decimal(1).scaleb(-9)

CONSUMED_UNITS: Final = {
    "image": "Images",
    "character": "Characters",
    "second": "Seconds",
    "vector_store_byte": "B",
    "code_interpreter_session": "Sessions",
    "file_search": "Calls",
    "web_search": "Calls",
}  # all others: Tokens


def charge(row: Mapping[str, Any], quantity: int, *, listed: str | None, found: Found | None) -> dict[str, Any]:
    """Return `row` (who used what; with `charge_kind`) with quantity and cost added.

    Without a price, `cost` is absent and `price_basis` gives the reason: `unknown_kind`, `unknown_model`, `no_price`
    or `unknown_currency`. Never zero.
    """
    charged = {
        **row,
        "consumed_quantity": quantity,
        "consumed_unit": CONSUMED_UNITS.get(row["charge_kind"], "Tokens"),
    }
    if found is None:
        return {**charged, "price_basis": _missing(row["charge_kind"], listed)}
    price = found.price
    if price.currency not in CURRENCIES:
        return {**charged, "listed_model": price.model, "price_id": price.price_id, "price_basis": "unknown_currency"}
    unit, unit_price = _unit(price)
    pricing_quantity = EXACT.divide(Decimal(quantity), UNIT_SIZES.get(unit, Decimal(1)))
    pricing_quantity = pricing_quantity.quantize(QUANTITY_DIGITS, context=EXACT)
    return {
        **charged,
        "listed_model": price.model,
        "pricing_quantity": pricing_quantity,
        "pricing_unit": unit,
        "above_input_tokens": price.above_input_tokens,
        "unit_price": unit_price,
        "cost": EXACT.multiply(pricing_quantity, unit_price),  # exact: nothing is rounded after the factors
        "currency": price.currency,
        "price_basis": found.basis,
        "price_id": price.price_id,
        "price_effective_from": price.effective_from,
        "price_source": f"{price.source} {price.source_version}",
    }


def _missing(kind: str, listed: str | None) -> str:
    if kind not in KINDS:
        return "unknown_kind"
    return "no_price" if listed else "unknown_model"


def unknown_counts(usage: Mapping[str, Any], endings: tuple[str, ...]) -> dict[str, int]:
    """Return the counts above zero that a provider has added since: those in `other_fields` with such a name."""
    others = read_json((usage.get("other_fields") or "{}").encode())
    return {
        name: math.ceil(value)
        for name, value in others.items()
        if name.endswith(endings) and isinstance(value, int | float | Decimal) and value > 0
    }


def _unit(price: Price) -> tuple[str, Decimal]:
    """Return (unit, price of one): an hour's price as that of a second where this is exact, because a count of seconds
    is not a finite number of hours."""
    if price.unit == "Hours":
        second = EXACT.divide(price.price, UNIT_SIZES[price.unit])
        if second == second.quantize(PRICE_DIGITS, context=EXACT):
            return "Seconds", second
    return price.unit, price.price
