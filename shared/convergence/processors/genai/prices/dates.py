"""The day from which a processing has its price: the day on which the provider introduced it.

genai-prices dates some of them by the day that it learned of them. A discount or premium is a factor on the standard
price; it held from the start, on the standard prices that were in force then.

- OpenAI: Batch API 2024-04-15; flex processing 2025-04-17, at the rates of the Batch API (developers.openai.com,
  guides/flex-processing); priority processing 2025-06-26 (openai-node 5.8.0 is the first with the tier; prices:
  openai.com/api-priority-processing), renamed fast mode on 2026-07-30 (guides/fast-mode).
- Anthropic: Message Batches 2024-10-08, half the price of each kind of token (anthropic.com/news/message-batches-api).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

Line = dict[str, str]

INTRODUCED: Final[Mapping[tuple[str, str], date]] = {
    ("openai", "batch"): date(2024, 4, 15),
    ("openai", "flex"): date(2025, 4, 17),
    ("openai", "priority"): date(2025, 6, 26),
    ("openai", "fast"): date(2026, 7, 30),
    ("anthropic", "batch"): date(2024, 10, 8),
}


def from_introduction(provider: str, lines: Sequence[Line]) -> Iterator[Line]:
    """Yield the lines, those of a dated processing from its introduction on, one for each standard price since.

    Raises `ValueError` for a factor that yields a price with infinitely many digits.
    """
    standard = [line for line in lines if line["processing"] == "standard"]
    for line in lines:
        introduced = INTRODUCED.get((provider, line["processing"]))
        learned = line["effective_from"]
        if introduced is None or learned <= introduced.isoformat():
            yield line
            continue
        same = [one for one in standard if (one["model"], one["kind"]) == (line["model"], line["kind"])]
        now = [one for one in same if one["above_input_tokens"] == line["above_input_tokens"] and _holds(one, learned)]
        begins = max([introduced.isoformat(), *(one["effective_from"] for one in now)])
        yield {**line, "effective_from": begins}
        if line["above_input_tokens"] == "0" and now:
            factor = Fraction(line["price"]) / Fraction(now[0]["price"])
            for earlier in same:
                if introduced.isoformat() < earlier["effective_to"] <= begins:
                    yield _derived(line, earlier, factor, introduced)


def _derived(line: Line, standard: Line, factor: Fraction, introduced: date) -> Line:
    """Return the line of an earlier standard price, of any step."""
    return {
        **line,
        "above_input_tokens": standard["above_input_tokens"],
        "price": _decimal(Fraction(standard["price"]) * factor),
        "effective_from": max(standard["effective_from"], introduced.isoformat()),
        "effective_to": standard["effective_to"],
        "source": line["source"] if factor == 1 else f"{line['source']} x {_decimal(factor)} of standard",
    }


def _holds(line: Line, day: str) -> bool:
    return line["effective_from"] <= day and (not line["effective_to"] or day < line["effective_to"])


def _decimal(number: Fraction) -> str:
    found = Decimal(number.numerator) / Decimal(number.denominator)
    if Fraction(found) != number:
        raise ValueError(f"{number} has infinitely many decimals: a price by this factor has to be listed by hand")
    return f"{found:f}"
