"""The price list and what it makes of usage; the package it was made from is the judge."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.prices.dates import from_introduction
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.prices.price import KINDS
from convergence.processors.openai.charges import cost_rows, quantities
from convergence.processors.openai.reconciliation import line
from tests.unit.processors.price_book import BOOK, listed
from tests.unit.processors.usage_rows import DAY, used


def costs(usage: dict[str, Any]) -> dict[str, Decimal | None]:
    return {row["charge_kind"]: row.get("cost") for row in cost_rows(usage, BOOK)}


def test_input_is_a_total_so_cached_and_written_tokens_are_charged_once() -> None:
    usage = used(
        model="gpt-5.6-luna",
        input_tokens=1_000_000,
        input_cached_tokens=300_000,
        input_cache_write_tokens=100_000,
        output_tokens=10,
        num_model_requests=100,
    )
    assert costs(usage) == {
        "input": Decimal("0.12"),  # 600,000 at 0.2
        "cached_input": Decimal("0.006"),  # 300,000 at 0.02
        "cache_write": Decimal("0.025"),  # 100,000 at 0.25
        "output": Decimal("0.000012"),  # 10 at 1.2
    }


@pytest.mark.parametrize(
    ("fields", "price"),
    [
        ({"batch": True}, "1.25"),
        ({"service_tier": "priority"}, "4.25"),
        ({"service_tier": "default"}, "2.5"),
        ({"batch": True, "service_tier": "priority"}, "1.25"),  # a batch has no tier
        ({"batch": True, "usage_date": date(2026, 10, 13)}, "1.25"),  # genai-prices learned of it a day later
    ],
)
def test_processing_and_day_choose_the_price(fields: dict[str, Any], price: str) -> None:
    (row,) = cost_rows(used(model="gpt-4o-2024-08-06", input_tokens=1_000_000, num_model_requests=10, **fields), BOOK)
    assert (row["unit_price"], row["cost"]) == (Decimal(price), Decimal(price))


def test_a_price_holds_from_its_first_day_until_the_day_before_the_next() -> None:
    def price(day: date) -> Decimal:
        (row,) = cost_rows(used(model="o3", usage_date=day, output_tokens=1_000_000), BOOK)
        return Decimal(row["unit_price"])

    assert [price(date(2025, 6, 9)), price(date(2025, 6, 10))] == [40, 8]


def test_requests_above_the_step_on_average_take_its_price() -> None:
    def price(requests: int) -> Decimal:
        usage = used(model="gpt-5.4", input_tokens=1_000_000, num_model_requests=requests)
        return Decimal(next(iter(cost_rows(usage, BOOK)))["unit_price"])

    assert [price(1), price(3), price(4)] == [5, 5, Decimal("2.5")]  # the step is at 272,000 tokens


def test_a_missing_price_is_null_with_the_reason_never_zero() -> None:
    (unknown,) = cost_rows(used(model="gpt-99", output_tokens=5), BOOK)
    (image,) = cost_rows(used("images", model="gpt-image-1", images=2), BOOK)
    assert [row["price_basis"] for row in (unknown, image)] == ["unknown_model", "no_price"]
    assert not {"cost", "unit_price"} & (unknown.keys() | image.keys())


def test_a_cache_read_without_a_discount_has_a_row_that_says_so() -> None:
    usage = used(model="gpt-4o-search-preview", input_tokens=1_000_000, input_cached_tokens=1_000_000)
    (row,) = cost_rows(usage, BOOK)
    assert (row["charge_kind"], row["cost"], row["price_basis"]) == ("cached_input", Decimal("2.5"), "list")
    assert row["price_source"] == "genai-prices, as input 0.2.3"
    batch = {**usage, "model": "gpt-4o", "batch": True}
    (row,) = cost_rows(batch, BOOK)
    assert (row["charge_kind"], row["cost"], row["price_basis"]) == ("cached_input", Decimal("1.25"), "list")
    assert row["price_source"] == "genai-prices, as standard 0.2.3"


@pytest.mark.parametrize(
    ("model", "processing", "day", "price"),
    [  # of a million tokens of input; None: no price
        ("gpt-4o", "batch", "2024-04-14", None),
        ("gpt-4o", "batch", "2024-04-15", "1.25"),
        ("o3", "batch", "2025-06-09", "5"),  # half of 10, the standard price until then
        ("o3", "batch", "2025-06-10", "1"),
        ("o3", "flex", "2025-04-16", None),
        ("o3", "flex", "2025-04-17", "5"),
        ("o3", "priority", "2025-06-25", None),
        ("o3", "priority", "2025-06-26", "3.5"),
        ("gpt-4o-2024-05-13", "priority", "2025-07-01", "8.75"),  # twice that of later snapshots, openai.com
        ("gpt-4o-2024-08-06", "priority", "2025-07-01", "4.25"),
        ("gpt-4.1", "fast", "2026-07-29", None),
        ("gpt-4.1", "fast", "2026-07-30", "3.5"),
        ("gpt-5.6-sol", "fast", "2026-08-20", "10"),  # openai.com/api-fast-mode before the standard price fell
        ("gpt-5.6-sol", "fast", "2026-08-21", "8"),
        ("gpt-4", "flex", "2026-11-10", None),  # never offered
    ],
)
def test_a_processing_has_its_price_from_the_day_that_the_provider_introduced_it(
    model: str, processing: str, day: str, price: str | None
) -> None:
    tier = {"batch": True} if processing == "batch" else {"service_tier": processing}
    usage = used(model=model, usage_date=date.fromisoformat(day), input_tokens=1_000_000, num_model_requests=10, **tier)
    (row,) = cost_rows(usage, BOOK)
    assert row.get("cost") == (None if price is None else Decimal(price))
    assert price is not None or row["price_basis"] == "no_price"


@pytest.mark.parametrize(
    ("day", "tokens", "price"),
    [
        (date(2024, 10, 7), 1, None),
        (date(2024, 10, 8), 1, "2.5"),
        (date(2026, 3, 12), 200_001, "5"),  # half of the price that long requests had then
        (date(2026, 3, 13), 200_001, "2.5"),
    ],
)
def test_a_derived_price_follows_the_steps_of_its_standard_price(day: date, tokens: int, price: str | None) -> None:
    found = PriceBook(listed("anthropic")).find("claude-opus-4-6", "input", "batch", day, Decimal(tokens))
    assert (found and found.price.price) == (price and Decimal(price))


def line_of(**changes: str) -> dict[str, str]:
    line = {"model": "m", "kind": "input", "processing": "standard", "above_input_tokens": "0", "price": "3"}
    return {**line, "effective_from": "", "effective_to": "", "source": "s", **changes}


def test_a_factor_without_an_end_is_not_rounded() -> None:
    lines = [
        line_of(effective_to="2026-01-01", price="1"),
        line_of(effective_from="2026-01-01", price="3"),
        line_of(processing="batch", effective_from="2026-10-14", price="2"),
    ]
    with pytest.raises(ValueError, match="2/3 has infinitely many decimals"):
        list(from_introduction("openai", lines))


@pytest.mark.parametrize(
    ("requests", "total", "basis", "price"),
    [
        (1, 300_000, "list", "5"),
        (10, 272_000, "list", "2.5"),  # no request can be longer than all of them
        (10, 272_001, "mean_context", "2.5"),
        (2, 700_000, "mean_context", "5"),
        (0, 300_000, "mean_context", "2.5"),
    ],
)
def test_a_price_by_the_mean_length_of_requests_says_so(requests: int, total: int, basis: str, price: str) -> None:
    usage = used(model="gpt-5.4", input_tokens=total, output_tokens=1, num_model_requests=requests)
    rows = list(cost_rows(usage, BOOK))
    assert [row["price_basis"] for row in rows] == [basis, basis]
    assert rows[0]["unit_price"] == Decimal(price)
    flat = used(model="gpt-4o", input_tokens=total, num_model_requests=requests)
    assert [row["price_basis"] for row in cost_rows(flat, BOOK)] == ["list"]


def test_units_other_than_tokens() -> None:
    assert costs(used("audio_transcriptions", model="whisper-1", seconds=5580)) == {"second": Decimal("0.558")}
    assert costs(used("audio_speeches", model="tts-1", characters=1000)) == {"character": Decimal("0.015")}
    assert costs(used("web_search_calls", model="gpt-4o", num_requests=3)) == {"web_search": Decimal("0.03")}
    assert costs(used("file_search_calls", num_requests=2)) == {"file_search": Decimal("0.005")}
    assert costs(used("moderations", model="omni-moderation-latest", input_tokens=9)) == {"input": Decimal(0)}


@pytest.mark.parametrize("kind", ["completions", "embeddings", "moderations"])
def test_tokens_of_a_kind_that_is_not_known_are_a_finding_and_not_plain_input(kind: str) -> None:
    fields = {"input_tokens": 1000, "input_cache_write_12h_tokens": 100, "output_tokens": 70 * (kind == "completions")}
    others = {"input_video_tokens": 300, "output_smell_tokens": 7 * (kind == "completions"), "note": "x"}
    usage = used(kind, model="gpt-5.6-luna", num_model_requests=1, other_fields=json.dumps(others), **fields)
    rows = {row["charge_kind"]: row for row in cost_rows(usage, BOOK)}
    found = {name: (row["consumed_quantity"], row["price_basis"]) for name, row in rows.items() if "cost" not in row}
    smell = {"output_smell_tokens": (7, "unknown_kind")} if kind == "completions" else {}
    assert found == {
        "cache_write_12h": (100, "no_price"),
        "input_video_tokens": (300, "unknown_kind"),
        **smell,
    }
    assert rows["input"]["consumed_quantity"] == 600
    assert kind != "completions" or rows["output"]["consumed_quantity"] == 63


def test_decisions_have_a_kind_of_their_own_and_no_price_of_other_input() -> None:
    usage = used("decisions", model="gpt-6-luna", input_tokens=1000, input_cached_tokens=400, output_tokens=3)
    (row,) = cost_rows(usage, BOOK)
    assert (row["charge_kind"], row["consumed_quantity"], row["price_basis"]) == ("decision_input", 1000, "no_price")


def test_tokens_of_a_kind_of_usage_that_is_charged_by_something_else_are_a_finding() -> None:
    usage = used("images", model="gpt-image-1", images=2, other_fields='{"sketch_tokens": 5, "zero_tokens": 0}')
    assert [row["charge_kind"] for row in cost_rows(usage, BOOK)] == ["image", "sketch_tokens"]


def test_parts_that_exceed_their_total_are_refused() -> None:
    with pytest.raises(StepFailed, match="2026-11-10, gpt-4o: the parts of input tokens exceed"):
        list(quantities(used(model="gpt-4o", input_tokens=10, input_cached_tokens=11)))


def test_a_price_of_a_place_goes_before_the_one_of_any_place_and_holds_nowhere_else() -> None:
    line = {**next(listed()), "model": "m", "model_match": "m", "kind": "input", "price": Decimal(10)}
    book = PriceBook([line, {**line, "region": "us", "price": Decimal(11)}])

    def price(region: str | None) -> Decimal:
        found = book.find("m", "input", "standard", DAY, Decimal(1), region)
        assert found is not None
        return found.price.price

    assert [price("us"), price("global"), price(None)] == [11, 10, 10]


def test_a_price_in_an_unknown_currency_prices_nothing_and_says_so() -> None:
    line = {**next(listed()), "model": "m", "model_match": "m", "kind": "output", "currency": "XYZ"}
    (row,) = cost_rows(used(model="m", output_tokens=5), PriceBook([line]))
    assert row["price_basis"] == "unknown_currency"
    assert not {"cost", "unit_price"} & row.keys()


def test_a_charge_names_the_row_of_the_list_that_priced_it() -> None:
    (row,) = cost_rows(used(model="o3", output_tokens=5), BOOK)
    assert (row["price_id"], row["price_effective_from"]) == ("o3/output/standard/0@2025-06-10", date(2025, 6, 10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": Decimal(-1)}, "is negative"),
        ({"kind": "inputs"}, "the kind 'inputs' is not one of cache_write"),
        ({"unit": "dozen"}, "the unit 'dozen' is not one of '1000000 Tokens'"),
        ({"effective_from": DAY, "effective_to": DAY}, "before it begins"),
        ({"effective_from": DAY}, "two prices apply on 2026-11-10"),
        ({"model": "n", "model_match": "n ~n["}, r"n: model_match '~n\[' cannot be used"),
        ({"model": "n", "model_match": "n ~[z-a]"}, r"n: model_match '~\[z-a\]' cannot be used"),
        ({"model": "n", "model_match": "n ~(a+)+$"}, "cannot be used: a pattern has at most 200 characters"),
        ({"model": "n", "model_match": "n ~.*.*.*x"}, "cannot be used"),
        ({"model": "n", "model_match": "n ~" + "a" * 201}, "cannot be used"),
    ],
)
def test_a_list_that_contradicts_itself_prices_nothing(changes: dict[str, Any], message: str) -> None:
    line = {**next(listed()), "model": "m", "effective_from": None, "effective_to": None}
    with pytest.raises(StepFailed, match=message):
        PriceBook([line, {**line, **changes}])


def test_an_empty_list_names_the_pipeline_that_fills_it() -> None:
    with pytest.raises(StepFailed, match="openai/auth/setup"):
        PriceBook([])


@pytest.mark.parametrize(
    ("item", "unit", "meant"),
    [
        ("gpt-4o, cached input", "tokens", ("gpt-4o", "cached_input", 1)),
        ("gpt-4o, output", "1000_tokens", ("gpt-4o", "output", 1000)),
        ("gpt-5.6-sol, cache writes", "tokens", ("gpt-5.6-sol", "cache_write", 1)),
        ("gpt-5.6-sol, cache writes - 12hr", "tokens", ("gpt-5.6-sol", "cache_write_12h", 1)),
        ("code interpreter session", None, ("", "code_interpreter_session", 1)),
        ("Assistants API | storage", None, ("Assistants API | storage", "unknown", 1)),
        (None, None, ("", "unknown", 1)),
    ],
)
def test_line_items_of_the_bill_name_model_and_charge(item: str | None, unit: str | None, meant: object) -> None:
    assert line(item, unit) == meant


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("only", sorted(KINDS))
def test_no_kind_is_charged_at_the_price_of_another(kind: str, only: str) -> None:
    line = {**next(listed()), "model": "m", "model_match": "m", "kind": only, "price": Decimal(7)}
    found = PriceBook([line]).find("m", kind, "standard", DAY, Decimal(1))
    assert (found is not None and found.basis) == (only == kind and "list")


@pytest.mark.parametrize(
    ("kind", "processing", "has_price"),
    [
        ("input", "batch", False),
        ("output", "flex", False),
        ("input", "priority", False),
        ("cache_write", "fast", False),
        ("web_search", "fast", True),  # calls, seconds and characters have one price
        ("second", "priority", True),
        ("input", "something new", False),
    ],
)
def test_the_standard_price_of_tokens_stands_in_for_no_other(kind: str, processing: str, has_price: bool) -> None:
    line = {**next(listed()), "model": "m", "model_match": "m", "kind": kind, "processing": "standard"}
    found = PriceBook([line]).find("m", kind, processing, DAY, Decimal(1))
    assert (found is not None and found.basis) == (has_price and "list")


@pytest.mark.parametrize(
    ("model", "dollars"),
    [  # 1,000 text and 3,000 audio tokens in, 200 text and 500 audio tokens out, at dollars per million
        ("gpt-4o-audio-preview", ("0.0025", "0.12", "0.002", "0.04")),  # 2.5, 40, 10, 80
        ("gpt-4o-audio-preview-2024-12-17", ("0.0025", "0.12", "0.002", "0.04")),
        ("gpt-4o-audio-preview-2025-06-03", ("0.0025", "0.12", "0.002", "0.04")),
        ("gpt-4o-mini-audio-preview", ("0.00015", "0.03", "0.00012", "0.01")),  # 0.15, 10, 0.6, 20
        ("gpt-audio", ("0.0025", "0.096", "0.002", "0.032")),  # 2.5, 32, 10, 64
        ("gpt-4o-audio-preview-2024-10-01", ("0.0025", None, "0.002", None)),  # was dearer; on no list
        ("gpt-4o", ("0.0025", None, "0.002", None)),
    ],
)
def test_audio_tokens_cost_their_own_price_or_are_a_finding(model: str, dollars: tuple[str | None, ...]) -> None:
    usage = used(
        model=model,
        num_model_requests=4,
        input_tokens=4000,
        input_audio_tokens=3000,
        output_tokens=700,
        output_audio_tokens=500,
    )
    rows = {row["charge_kind"]: row for row in cost_rows(usage, BOOK)}
    kinds = ("input", "input_audio", "output", "output_audio")
    assert [rows[kind].get("cost") for kind in kinds] == [None if text is None else Decimal(text) for text in dollars]
    unpriced = {kind for kind in kinds if "cost" not in rows[kind]}
    assert {rows[kind]["price_basis"] for kind in unpriced} <= {"no_price"}
