"""Why a computed cost and a billed one differ."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.differences import Pair, classify
from convergence.processors.genai.pairs import pairs, spread
from convergence.processors.openai.reconciliation import line
from tests.unit.processors.price_book import BOOK

DAY = date(2026, 11, 10)
ROUNDING = Decimal("0.000001")


def pair(
    computed: str | None,
    billed: str | None,
    *,
    used: int | None = 10,
    charged: int | None = 10,
    basis: str = "list",
) -> Pair:
    def decimal(text: object) -> Decimal | None:
        return None if text is None else Decimal(str(text))

    return Pair(decimal(computed), decimal(used), basis, decimal(billed), decimal(charged))


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        (pair("1.5", "1.50"), "match", ""),
        (pair("1.5", "1.5000005"), "rounding", "within 0.000001"),
        (pair("1.5", "1.2", used=10, charged=8), "quantity", "billed for 8, used 10"),
        (pair("1.5", "3"), "price", "billed at 2 times our price"),
        (pair("2", "1", basis="parent_kind"), "price", "the list has none of its own"),
        (pair("2", "1", basis="standard_processing"), "price", "none for this processing"),
        (pair("0", "1"), "price", "free on our price list"),
        (pair(None, "1", basis="no_price"), "missing_price", "no price for it"),
        (pair(None, "1", basis="unknown_model"), "missing_price", "does not know it"),
        (pair(None, None), "missing_price", "neither"),
        (pair(None, "1", used=None), "missing_usage", "lost data"),
        (pair("1.5", None), "not_billed", "not billed"),
        (pair("0", None), "match", "free"),
    ],
)
def test_every_difference_has_a_reason_in_words(found: Pair, reason: str, message: str) -> None:
    given, explanation = classify(found, ROUNDING)
    assert given == reason
    assert message in explanation


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (pair(None, "1", used=None), "does not show it yet"),
        (pair("1.5", "1.8", used=8, charged=10), "billed for 10, used 8"),
        (pair("1.5", None), "not billed yet"),
    ],
)
def test_what_one_side_lacks_on_a_young_day_is_late_data(found: Pair, message: str) -> None:
    reason, explanation = classify(found, ROUNDING, young=True)
    assert reason == "late_data"
    assert message in explanation
    assert "run it again" in explanation


@pytest.mark.parametrize(("steps", "reason"), [(("2.5", "5"), "tier"), (("2.5", "3.9"), "price"), (None, "price")])
def test_a_bill_between_the_steps_of_the_list_is_a_matter_of_tiers(steps: tuple[str, str] | None, reason: str) -> None:
    found = pair("2.5", "4")
    found.steps = None if steps is None else (Decimal(steps[0]), Decimal(steps[1]))
    assert classify(found, ROUNDING)[0] == reason


def test_the_steps_of_a_pair_are_those_of_its_own_kind_of_price() -> None:
    computed = {
        "usage_date": DAY,
        "model": "gpt-5.4",
        "listed_model": "gpt-5.4",
        "processing": "standard",
        "charge_kind": "input",
        "cost": Decimal("2.5"),
        "currency": "USD",
        "quantity": Decimal(1_000_000),
        "basis": "list",
    }
    unlisted = {**computed, "charge_kind": "output", "listed_model": None, "cost": None, "basis": "unknown_model"}
    found = pairs([computed, unlisted], [], line)
    spread(found, [computed, unlisted], BOOK)
    assert found[DAY, "gpt-5.4", "input"].steps == (Decimal("2.5"), Decimal(5))
    assert found[DAY, "gpt-5.4", "output"].steps is None


def billed(line_item: str, amount: str, quantity: int, unit: str, currency: str = "USD") -> dict[str, Any]:
    figures = {"amount": Decimal(amount), "quantity": Decimal(quantity), "quantity_unit": unit, "currency": currency}
    return {"usage_date": DAY, "line_item": line_item, **figures}


def test_lines_of_one_model_and_charge_are_added_in_our_units() -> None:
    lines = [
        billed("gpt-4o, output", "1.5", 3, "1000_tokens"),
        billed("gpt-4o, output", "0.5", 7, "tokens"),
        billed("whisper-1, second", "0.1", 2, "duration_minutes"),
    ]
    found = pairs([], lines, line)
    output, second = found[DAY, "gpt-4o", "output"], found[DAY, "whisper-1", "second"]
    assert (output.billed, output.billed_quantity) == (Decimal(2), Decimal(3007))
    assert second.billed_quantity == 120


def priced(currency: str, charge: str = "output", processing: str = "standard") -> dict[str, Any]:
    figures = {"cost": Decimal(2), "quantity": Decimal(1), "currency": currency, "basis": "list"}
    return {"usage_date": DAY, "model": "gpt-4o", "charge_kind": charge, "processing": processing, **figures}


@pytest.mark.parametrize(
    ("computed", "lines", "message"),
    [
        ([priced("USD")], [billed("gpt-4o, output", "1", 1, "tokens", "EUR")], "priced in USD, not in EUR as the bill"),
        ([priced("EUR")], [billed("gpt-4o, output", "1", 1, "tokens")], "priced in EUR, not in USD as the bill"),
        ([priced("EUR")], [billed("gpt-4o, input", "1", 1, "tokens")], "priced in EUR, not in USD as the bill"),
        ([priced("EUR"), priced("USD", processing="batch")], [], "priced in USD, not in EUR as the other charges"),
        (
            [],
            [billed("gpt-4o, output", "1", 1, "tokens"), billed("gpt-4o, input", "1", 1, "tokens", "EUR")],
            "is in (EUR and USD|USD and EUR)",
        ),
    ],
)
def test_amounts_of_two_currencies_are_never_compared(
    computed: list[dict[str, Any]], lines: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(StepFailed, match=message):
        pairs(computed, lines, line)


def test_a_difference_is_in_the_currency_of_both_sides() -> None:
    unpriced = {**priced("EUR", "input"), "cost": None, "currency": None, "basis": "no_price"}
    found = pairs([priced("EUR"), unpriced], [billed("gpt-4o, output", "3", 1, "tokens", "EUR")], line)
    assert {key[2]: (pair.difference, pair.currency) for key, pair in found.items()} == {
        "output": (Decimal(1), "EUR"),
        "input": (Decimal(0), "EUR"),
    }
    assert {pair.currency for pair in pairs([priced("EUR")], [], line).values()} == {"EUR"}
    assert {pair.currency for pair in pairs([unpriced], [], line).values()} == {"USD"}
