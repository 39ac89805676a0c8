"""The price list from what is published today: what changes, since when, and what it makes of past days."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.processors.genai.prices.changes import merged
from convergence.processors.genai.prices.lines import provider_lines
from convergence.processors.genai.prices.litellm import disagreements
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.installation import Here, days, installed

TODAY = date(2026, 11, 28)
BEFORE, NEXT = TODAY - timedelta(days=10), TODAY + timedelta(days=10)
FIRST, LAST = date(2026, 11, 10), date(2026, 11, 11)


def row(price: str, since: date | None = None, until: date | None = None, **fields: Any) -> dict[str, Any]:
    line = {"model": "m", "model_match": "m", "kind": "input", "unit": "1000000 Tokens", "processing": "standard"}
    more = {"region": None, "above_input_tokens": 0, "currency": "USD", "source": "s", "source_version": "1"}
    return {**line, **more, "price": Decimal(price), "effective_from": since, "effective_to": until, **fields}


def spans(rows: list[dict[str, Any]]) -> list[tuple[str, date | None, date | None]]:
    return [(f"{one['price']:f}", one["effective_from"], one["effective_to"]) for one in rows]


@pytest.mark.parametrize(
    ("old", "new", "kept", "change"),
    [
        ([row("1")], [row("1")], [("1", None, None)], None),
        ([row("1")], [row("2")], [("1", None, TODAY), ("2", TODAY, None)], ("changed", "1", "2", TODAY)),
        ([], [row("2", BEFORE)], [("2", BEFORE, None)], ("added", None, "2", BEFORE)),
        ([row("1")], [], [("1", None, None)], ("gone", "1", None, None)),
        (
            [row("1")],
            [row("1", None, BEFORE), row("2", BEFORE)],
            [("1", None, BEFORE), ("2", BEFORE, None)],
            ("dated", "1", "2", BEFORE),
        ),
        (
            [row("1")],
            [row("1", None, NEXT), row("2", NEXT)],
            [("1", None, NEXT), ("2", NEXT, None)],
            ("dated", "1", "1", NEXT),
        ),
        ([row("1", BEFORE)], [row("1")], [("1", BEFORE, None)], None),  # no date is not an earlier date
        (
            [row("1", BEFORE)],
            [row("2")],
            [("1", BEFORE, TODAY), ("2", TODAY, None)],
            ("changed", "1", "2", TODAY),
        ),
        (  # what changed without a date stays as it was recorded
            [row("1", None, BEFORE), row("2", BEFORE)],
            [row("2")],
            [("1", None, BEFORE), ("2", BEFORE, None)],
            None,
        ),
        (  # a second change on the same day
            [row("1", None, TODAY), row("2", TODAY)],
            [row("3")],
            [("1", None, TODAY), ("3", TODAY, None)],
            ("changed", "2", "3", TODAY),
        ),
        (
            [row("1", None, BEFORE)],
            [row("1")],
            [("1", None, BEFORE), ("1", TODAY, None)],
            ("changed", None, "1", TODAY),
        ),
    ],
)
def test_a_price_without_a_date_of_its_own_holds_from_today_on(
    old: list[Any], new: list[Any], kept: list[Any], change: Any
) -> None:
    rows, changes = merged(old, new, TODAY)
    assert spans(rows) == kept
    found = [(one["change"], one["before"], one["after"], one["effective_from"]) for one in changes]
    expected = change and (change[0], *(price and Decimal(price) for price in change[1:3]), change[3])
    assert found == ([expected] if change else [])
    PriceBook(rows)
    assert merged(rows, new, TODAY)[0] == rows  # once more changes nothing


def test_new_names_of_a_model_reach_its_older_prices_too() -> None:
    rows, _ = merged([row("1"), row("9", kind="output")], [row("1", model_match="m m-2")], TODAY)
    assert [one["model_match"] for one in rows] == ["m m-2", "m m-2"]


def model(name: str, prices: Any, **fields: Any) -> dict[str, Any]:
    return {"id": name, "match": {"equals": name}, "prices": prices, **fields}


@pytest.mark.parametrize(
    "bad",
    [
        model("n", {"smell_mtok": 1}),
        model("n", [{"constraint": {"start_time": "01:00", "end_time": "02:00"}, "prices": {"input_mtok": 1}}]),
        {**model("n", {"input_mtok": 1}), "match": {"ends_with": "n"}},
        model("n", {"input_mtok": Decimal("1e999999999")}),
        model("n", {"input_mtok": "NaN"}),
        model("n", None),
    ],
)
def test_a_model_that_cannot_be_expressed_is_named_and_left_out(bad: Mapping[str, Any]) -> None:
    left_out: list[str] = []
    lines = provider_lines("deepseek", [bad, model("m", {"output_mtok": 1})], "1", left_out)
    assert {line["model"] for line in lines} == {"m"}
    assert [reason.partition(":")[0] for reason in left_out] == ["n"]
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        provider_lines("deepseek", [bad], "1")


def test_the_second_list_is_compared_by_kind_and_processing_to_the_last_digit() -> None:
    book = PriceBook([row("2.5"), row("1.25", processing="batch"), row("10", kind="output")])
    entry = {
        "litellm_provider": "openai",
        "input_cost_per_token": Decimal("2.5e-06"),
        "input_cost_per_token_batches": Decimal("1.3e-06"),
        "output_cost_per_token": Decimal("1e-05"),
        "cache_read_input_token_cost": Decimal("1.25e-06"),
        "max_tokens": 5,
    }
    second = {"m": entry, "other": entry, "x": {**entry, "litellm_provider": "azure"}, "sample_spec": "text"}
    assert list(disagreements(second, "openai", book, TODAY)) == [
        {"model": "m", "kind": "input", "processing": "batch", "ours": Decimal("1.25"), "theirs": Decimal("1.3")},
        {"model": "m", "kind": "cached_input", "processing": "standard", "ours": None, "theirs": Decimal("1.25")},
    ]


GPT_4O = {"input_mtok": 2.5, "cache_read_mtok": 1.25, "output_mtok": 10}
DEARER = {**GPT_4O, "input_mtok": 3}
PUBLISHED = [
    {
        "id": "openai",
        "models": [
            {
                "id": "gpt-4o",
                "match": {"or": [{"equals": "gpt-4o"}, {"equals": "gpt-4o-2024-08-06"}]},
                "prices": [{"prices": GPT_4O}, {"constraint": {"start_date": FIRST.isoformat()}, "prices": DEARER}],
                "price_variants": [{"when": {"processing": "batch"}, "prices": {"input_mtok": 1.5, "output_mtok": 5}}],
            },
            model("gpt-new", {"input_mtok": 7}),
        ],
    }
]
SECOND = {"gpt-new": {"litellm_provider": "openai", "input_cost_per_token": 8e-06}}
LIST = "SELECT model, kind, processing, price, effective_from, effective_to FROM {table} WHERE x_run_id = ({latest})"


def answered(request: Request) -> Response:
    bodies = {"/prices": PUBLISHED, "/second": SECOND, "/broken": [{"id": "openai"}]}
    return Response(200, json.dumps(bodies[request.path]).encode())


async def current(here: Here, table: str) -> list[Mapping[str, Any]]:
    latest = f"SELECT x_run_id FROM {table} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"
    return await here.rows(LIST.format(table=table, latest=latest))


def test_a_run_shows_changes_disagreements_and_what_past_days_would_cost_and_applies_them_on_request(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        server = HttpServer(answered)
        url = await server.start()
        asks = {"prices_url": f"{url}/prices", "second_url": f"{url}/second", **days(FIRST, LAST)}
        try:
            async with installed(tmp_path) as here:
                await here.set_up("openai")
                await here.good("openai/cost/usage_cost", api_base_url=here.url, **days(FIRST, LAST))
                shipped = await current(here, "openai_model_pricing")
                looked = await here.good("genai/prices/openai", **asks)
                check(looked["load_prices"], looked["calculate_preview"])
                assert await current(here, "openai_model_pricing") == shipped
                applied = (await here.good("genai/prices/openai", apply=True, **asks))["load_prices"]
                assert applied["applied"] is True
                prices = await current(here, "openai_model_pricing")
                assert len(prices) > len(shipped)
                ours = [one for one in prices if (one["model"], one["kind"]) == ("gpt-4o", "input")]
                standard = sorted(
                    (one["price"], one["effective_from"]) for one in ours if one["processing"] == "standard"
                )
                assert standard == [(Decimal("2.5"), None), (Decimal(3), FIRST)]
                again = (await here.good("genai/prices/openai", **asks))["load_prices"]
                assert set(again["changes_by_kind"]) == {"gone"}
                refused = await here.run("genai/prices/openai", **{**asks, "prices_url": f"{url}/broken"})
                assert "not a price list of openai" in str(refused.error)
                refused = await here.run("genai/prices/openai", **{**asks, "second_url": "https://x:abc"})
                assert "LiteLLM's list is not a URL" in str(refused.error)
                assert await current(here, "openai_model_pricing") == prices
                repriced = await here.good("genai/reprice/openai", price_file="", apply=True, **days(FIRST, LAST))
                assert repriced["calculate_costs"]["difference"] == looked["calculate_preview"]["difference"]
                assert await current(here, "openai_model_pricing") == prices  # not the shipped list again
        finally:
            await server.stop()

    def check(load: Mapping[str, Any], preview: Mapping[str, Any]) -> None:
        changes = {(one["model"], one["kind"], one["processing"]): one for one in load["changes"]}
        assert load["changes_by_kind"]["added"] == 2  # a read from the cache has the price of other input
        dated = changes["gpt-4o", "input", "standard"]
        assert (dated["change"], dated["before"], dated["after"]) == ("dated", "2.5", "3")
        assert dated["effective_from"] == FIRST.isoformat()
        assert load["disagreements"] == [
            {"model": "gpt-new", "kind": "input", "processing": "standard", "ours": "7", "theirs": "8"}
        ]
        assert load["warnings"][-1].startswith("1 prices differ between genai-prices and LiteLLM")
        assert preview["applied"] is False
        assert {one["model"] for one in preview["changes"]} == {"gpt-4o"}
        assert Decimal(preview["difference"]) > 0

    asyncio.run(main())
