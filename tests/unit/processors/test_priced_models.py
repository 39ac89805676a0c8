"""Which model of the list a reported name means, and what each costs; the package it was made from is the judge."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from convergence.processors.genai.model_match import fits, unreadable
from convergence.processors.openai.charges import cost_rows
from tests.unit.processors.price_book import BOOK, listed
from tests.unit.processors.usage_rows import DAY, used


def reported_names() -> dict[str, str]:
    """A name that the provider might report, for each model of the list."""
    words = {row["model"]: row["model_match"].split()[0] for row in listed() if row["model_match"]}
    return {model: word.strip("*") + ("-2099-01-01" if word.endswith("*") else "") for model, word in words.items()}


@pytest.mark.parametrize(
    ("word", "name", "fitting"),
    [
        ("gpt-4o-audio-preview*", "gpt-4o-audio-preview-2024-10-01", True),
        ("gpt-4o-mini-audio*", "gpt-4o-mini-audio-preview-2024-12-17", True),
        ("gpt-4o-realtime*", "gpt-4o-realtime-turbo", False),
        ("computer-use*", "computer-use-2-preview", False),
        ("claude-haiku-4-5*", "claude-haiku-4-5-20251001-v1:0", True),
        ("claude-haiku-4-5*", "claude-haiku-4-5@20251001", True),
        ("claude-haiku-4-5*", "claude-haiku-4-51", False),
        ("claude-opus-4-8*", "claude-opus-4-8-fast", False),
        ("claude-sonnet-4-2025*", "claude-sonnet-4-20250514", True),
        ("claude-3-5-sonnet*", "claude-3-5-sonnet-v2@20241022", True),
        ("ft:gpt-4o-2024-*", "ft:gpt-4o-2024-08-06:acme::abc", True),
        ("ft:gpt-3.5-turbo*", "ft:gpt-3.5-turbo-16k:acme::abc", False),
        ("gpt-4o-mini-2024-07-18.ft-*", "gpt-4o-mini-2024-07-18.ft-0123abc", True),
        ("*moderation*", "omni-moderation-latest", True),
        ("*moderation*", "omni-moderation-pro", False),
        ("*moderation*", "gpt-7-moderation-latest", False),
        ("*claude-v2*", "anthropic.claude-v2:1", True),
    ],
)
def test_a_prefix_is_for_snapshots_of_its_model_and_not_for_another_model(word: str, name: str, fitting: bool) -> None:
    assert fits(word, name) is fitting


def test_every_pattern_of_the_shipped_lists_can_be_used_and_matches_as_a_regular_expression() -> None:
    words = {
        word for provider in ("openai", "anthropic") for row in listed(provider) for word in row["model_match"].split()
    }
    patterns = {word: "m" for word in words if word.startswith("~")}
    assert len(patterns) > 15
    assert unreadable(patterns) == []
    name = "claude-sonnet-5-20260901"
    assert [word for word in patterns if fits(word, name)] == [r"~^claude-sonnet-5-\d{8}$"]


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


@pytest.mark.parametrize(("processing", "most"), [("standard", 500), ("batch", 70), ("flex", 30), ("priority", 30)])
def test_every_model_costs_what_the_package_says_on_any_day_and_size(processing: str, most: int) -> None:
    """The package has no price of a processing before it learned of it, and takes the standard one; nor has the list
    of a processing that a model does not have. Neither is compared."""
    pytest.importorskip("genai_prices")
    differences, compared = [], 0
    writes = {row["model"] for row in listed() if row["kind"] == "cache_write"}
    for model, name in reported_names().items():
        for day in (date(2025, 1, 1), date(2026, 8, 1), DAY):
            for size in (1000, 300_000):  # below and above the context step
                written = 100 if model in writes else 0
                usage = used(model=name, usage_date=day, num_model_requests=1, input_tokens=size, output_tokens=70)
                usage |= {"input_cached_tokens": 200, "input_cache_write_tokens": written}
                usage |= {"batch": True} if processing == "batch" else {"service_tier": processing}
                counts = {
                    "input_tokens": size,
                    "output_tokens": 70,
                    "cache_read_tokens": 200,
                    "cache_write_tokens": written,
                }
                expected = theirs(name, day, processing, **counts)
                rows = list(cost_rows(usage, BOOK))
                if processing != "standard" and (day != DAY or not all("cost" in row for row in rows)):
                    continue
                ours = sum((row["cost"] for row in rows if "cost" in row), Decimal(0))
                compared += expected > 0
                if ours != expected:
                    differences.append((model, name, day, size, ours, expected))
    assert differences == []
    assert compared > most, compared
