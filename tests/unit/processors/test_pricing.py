"""The price list and what it makes of usage; the package it was made from is the judge."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.pricing import PriceBook
from convergence.processors.openai.charges import cost_rows, quantities
from convergence.processors.openai.lines import line
from tests.unit.processors.step_world import CONFIGS

DAY = date(2026, 11, 10)


def listed() -> Iterator[dict[str, Any]]:
    """The seed's rows as the warehouse gives them back."""
    with (CONFIGS / "openai/seed/model_pricing.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            dates = {
                name: date.fromisoformat(row[name]) if row[name] else None
                for name in ("effective_from", "effective_to")
            }
            above = int(row["above_input_tokens"])
            yield {**row, **dates, "price": Decimal(row["price"]), "above_input_tokens": above}


BOOK = PriceBook(listed())

NOTHING = dict.fromkeys(
    (
        *("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "input_tokens"),
        *("input_cached_tokens", "input_cache_write_tokens", "input_audio_tokens", "input_image_tokens"),
        *("input_cached_audio_tokens", "input_cached_image_tokens", "output_tokens", "output_audio_tokens"),
        *("output_image_tokens", "num_requests", "num_model_requests", "images", "characters", "seconds"),
        *("usage_bytes", "num_sessions"),
    )
)


def used(kind: str = "completions", **fields: Any) -> dict[str, Any]:
    return {**NOTHING, "usage_date": DAY, "usage_kind": kind, **fields}


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
        ({"batch": True, "usage_date": date(2026, 10, 13)}, "2.5"),  # the list knows batch prices from the 14th on
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


def test_a_kind_without_own_price_is_charged_like_the_wider_one_and_says_so() -> None:
    usage = used(model="gpt-4o-search-preview", input_tokens=1_000_000, input_cached_tokens=1_000_000)
    (row,) = cost_rows(usage, BOOK)
    assert (row["charge_kind"], row["cost"], row["price_basis"]) == ("cached_input", Decimal("2.5"), "parent_kind")


def test_units_other_than_tokens() -> None:
    assert costs(used("audio_transcriptions", model="whisper-1", seconds=5580)) == {"second": Decimal("0.558")}
    assert costs(used("audio_speeches", model="tts-1", characters=1000)) == {"character": Decimal("0.015")}
    assert costs(used("web_search_calls", model="gpt-4o", num_requests=3)) == {"web_search": Decimal("0.03")}
    assert costs(used("file_search_calls", num_requests=2)) == {"file_search": Decimal("0.005")}
    assert costs(used("moderations", model="omni-moderation-latest", input_tokens=9)) == {"input": Decimal(0)}


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
        ({"unit": "dozen"}, "the unit 'dozen' is none of '1000000 Tokens'"),
        ({"effective_from": DAY, "effective_to": DAY}, "before it begins"),
        ({"effective_from": DAY}, "two prices hold on 2026-11-10"),
        ({"model": "n", "model_match": "n ~n["}, r"n: model_match '~n\[' is no regular expression"),
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
        ("code interpreter session", None, ("", "code_interpreter_session", 1)),
        ("Assistants API | storage", None, ("Assistants API | storage", "unknown", 1)),
        (None, None, ("", "unknown", 1)),
    ],
)
def test_line_items_of_the_bill_name_model_and_charge(item: str | None, unit: str | None, meant: object) -> None:
    assert line(item, unit) == meant


def reported_names() -> dict[str, str]:
    """A name that the provider might report, for each model of the list."""
    words = {row["model"]: row["model_match"].split()[0] for row in listed() if row["model_match"]}
    return {model: word.strip("*") + ("2099" if word.endswith("*") else "") for model, word in words.items()}


def theirs(name: str, day: date, processing: str, **counts: int) -> Decimal:
    import genai_prices

    answer = genai_prices.calc_price(
        genai_prices.Usage(**counts),
        model_ref=name,
        provider_id="openai",
        genai_request_timestamp=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        price_context={"processing" if processing == "batch" else "service_tier": processing},
    )
    return answer.total_price


@pytest.mark.parametrize("processing", ["standard", "batch", "flex", "priority"])
def test_every_model_costs_what_the_package_says_on_any_day_and_size(processing: str) -> None:
    pytest.importorskip("genai_prices")
    differences, compared = [], 0
    for model, name in reported_names().items():
        for day in (date(2025, 1, 1), date(2026, 8, 1), DAY):
            for size in (1000, 300_000):  # below and above the context step
                usage = used(model=name, usage_date=day, num_model_requests=1, input_tokens=size, output_tokens=70)
                usage |= {"input_cached_tokens": 200, "input_cache_write_tokens": 100}
                usage |= {"batch": True} if processing == "batch" else {"service_tier": processing}
                counts = {
                    "input_tokens": size,
                    "output_tokens": 70,
                    "cache_read_tokens": 200,
                    "cache_write_tokens": 100,
                }
                expected = theirs(name, day, processing, **counts)
                ours = sum((row["cost"] for row in cost_rows(usage, BOOK) if "cost" in row), Decimal(0))
                compared += expected > 0
                if ours != expected:
                    differences.append((model, name, day, size, ours, expected))
    assert differences == []
    assert compared > 500
