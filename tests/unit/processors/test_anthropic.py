"""Both Anthropic pipelines as they stand in configs/, against the sandbox; sums against its raw figures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.procedures import load_procedures
from convergence.errors import CredentialRejected, StepFailed
from convergence.processors.anthropic import billing, cost, usage
from convergence.processors.anthropic.charges import cost_rows, line
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.seeded import prices_in
from convergence.processors.openai import seed_csv
from convergence.sandbox import Sandbox, anthropic
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.plans import plan_of, run
from tests.unit.processors.step_world import CONFIGS, FIRST, LAST, ManualClock, Vault, WorldContext

START = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC).timestamp())
END = int((datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC) + timedelta(days=1)).timestamp())
Job = tuple[dict[str, Mapping[str, Any]], dict[str, list[dict[str, Any]]], Vault]


async def main_job(key: str = anthropic.ADMIN_KEY) -> Job:
    clock, sandbox = ManualClock(), Sandbox()
    warehouse = DuckDbWarehouse(None, clock=clock)
    vault = Vault({"api_key": key, "anthropic": key})
    base_url = await sandbox.start()
    try:
        async with httpx.AsyncClient() as client:
            context = WorldContext(client, warehouse, clock, secrets=vault, credentials=vault, provider="anthropic")
            await warehouse.sync_routines(load_procedures(CONFIGS))
            dates = {"start_date": FIRST.isoformat(), "end_date": LAST.isoformat()}
            await run(plan_of("anthropic/auth/setup", api_key=key, api_base_url=base_url), context)
            results = await run(plan_of("anthropic/usage_cost", api_base_url=base_url, **dates), context)
            tables = {
                name: (await context.warehouse.query(f"SELECT * FROM {name}", rows_max=100_000)).rows
                for name in ("anthropic_usage_daily_raw", "anthropic_billing_daily_raw", "cost_data_standard_1_3")
            }
            return results, tables, vault
    finally:
        await sandbox.stop()
        warehouse.close()


@pytest.fixture(scope="module")
def job() -> Job:
    return asyncio.run(main_job())


def test_usage_sums_to_the_sandboxs_raw_figures(job: Job) -> None:
    raw = anthropic.messages(START, END)
    rows = job[1]["anthropic_usage_daily_raw"]
    columns = {"5m": "cache_write_5m_tokens", "1h": "cache_write_1h_tokens"}
    for name in anthropic.COUNTS:
        assert sum(row[columns.get(name, name)] for row in rows) == sum(row[name] for row in raw) > 0, name
    assert job[0]["extract_usage"]["http_retries"] >= 1


def test_the_bill_sums_to_the_last_decimal_in_dollars(job: Job) -> None:
    billed = sum(row["amount"] for row in job[1]["anthropic_billing_daily_raw"])
    assert billed == sum(amount for _, amount in anthropic.charges(START, END)) > 100


def test_every_charge_becomes_a_focus_row_of_anthropic_and_the_sums_agree(job: Job) -> None:
    results, tables, vault = job
    rows = tables["cost_data_standard_1_3"]
    assert sum(row["BilledCost"] for row in rows) == Decimal(results["calculate_costs"]["total_cost"])
    assert {row["ServiceProviderName"] for row in rows} == {"Anthropic"}
    assert {row["x_ChargeKind"] for row in rows} == {
        *("input", "cached_input", "cache_write", "cache_write_1h", "output", "web_search")
    }
    assert vault.marks == [("anthropic", True, "")]


def test_cost_agrees_with_an_independent_sum_of_raw_tokens_at_list_prices(job: Job) -> None:
    # USD per token, Anthropic's published list; batch is half.
    prices: dict[str, tuple[int | str, ...]] = {
        "claude-haiku-4-5": (1, "0.1", "1.25", 2, 5),
        "claude-sonnet-4-5": (3, "0.3", "3.75", 6, 15),
        "claude-opus-4-8": (5, "0.5", "6.25", 10, 25),
    }
    names = ("uncached_input_tokens", "cache_read_input_tokens", "5m", "1h", "output_tokens")
    total = Decimal(0)
    for row in anthropic.messages(START, END):
        share = Decimal("0.5") if row["service_tier"] == "batch" else Decimal(1)
        for name, price in zip(names, prices[row["model"]], strict=True):
            total += row[name] * Decimal(price) * share / 1_000_000
        total += row["web_search_requests"] * Decimal("0.01")
    assert Decimal(job[0]["calculate_costs"]["total_cost"]) == total


def test_the_reconciliation_finds_no_difference_but_classified_ones(job: Job) -> None:
    result = job[0]["validate_costs"]
    assert set(result["difference_by_reason"]) <= {"match", "rounding", "price"}
    assert Decimal(result["provider_cost"]) == sum(amount for _, amount in anthropic.charges(START, END))


def test_a_wrong_key_is_marked_and_final() -> None:
    with pytest.raises(CredentialRejected, match="anthropic/auth/setup"):
        asyncio.run(main_job("sk-ant-admin-wrong"))


GOOD = {
    "uncached_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
    "cache_read_input_tokens": 3,
    "output_tokens": 4,
    "server_tool_use": {"web_search_requests": 0},
    "model": "claude-opus-4-8",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_tokens": -1}, "output_tokens is -1"),
        ({"output_tokens": "4"}, "non-negative integer"),
        ({"server_tool_use": {}}, "without server_tool_use_web_search_requests"),
    ],
)
def test_a_bad_count_fails_the_step(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        usage.usage_row(FIRST, {**GOOD, **change})


def test_a_new_field_is_kept() -> None:
    row = usage.usage_row(FIRST, {**GOOD, "speed": "fast", "pace": "brisk"})
    assert (row["speed"], row["other_fields"]) == ("fast", '{"pace":"brisk"}')


@pytest.mark.parametrize("amount", [123.45, None, "many", "NaN"])
def test_an_amount_that_is_not_decimal_text_fails_the_step(amount: Any) -> None:
    with pytest.raises(StepFailed, match=r"not a decimal string of cents|which is not a number"):
        billing.bill_row(FIRST, {"amount": amount, "currency": "USD"})


def test_cents_become_dollars_digit_by_digit() -> None:
    row = billing.bill_row(
        FIRST, {"amount": "123.4500000001", "currency": "usd", "model": "m", "token_type": "output_tokens"}
    )
    assert (row["amount"], row["currency"], line(row["line_item"])[:2]) == (
        Decimal("1.234500000001"),
        "USD",
        ("m", "output"),
    )


def priced(**changes: Any) -> list[dict[str, Any]]:
    price = {
        "model": "m", "model_match": "m", "unit": "1000000 Tokens", "processing": "standard", "currency": "USD",
        "effective_from": None, "effective_to": None, "source": "s", "source_version": "1",
    }  # fmt: skip
    book = PriceBook(
        [
            {**price, "kind": "input", "above_input_tokens": 0, "price": Decimal(3)},
            {**price, "kind": "input", "above_input_tokens": 200_000, "price": Decimal(6)},
        ]
    )
    row = dict.fromkeys(("workspace_id", "api_key_id", "service_tier", "context_window"), None)
    counts = dict.fromkeys(
        ("cache_read_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
         "web_search_requests"), 0,
    )  # fmt: skip
    who = {"usage_date": date(2026, 11, 10), "usage_kind": "messages", "model": "m", "uncached_input_tokens": 1_000_000}
    return list(cost_rows({**row, **counts, **who, **changes}, book))


def test_the_context_window_decides_the_step_of_the_list() -> None:
    assert [row["cost"] for row in priced(context_window="0-200k")] == [3]
    assert [row["cost"] for row in priced(context_window="200k-1M")] == [6]
    with pytest.raises(StepFailed, match="1M-2M"):
        priced(context_window="1M-2M")


def test_an_unknown_model_has_no_cost_and_says_so() -> None:
    (row,) = priced(model="claude-next")
    assert row["price_basis"] == "unknown_model"
    assert "cost" not in row


def test_counts_that_the_report_adds_later_are_a_finding() -> None:
    others = '{"cache_creation_ephemeral_24h_input_tokens":9,"server_tool_use_web_fetch_requests":4,"pace":"brisk"}'
    rows = {row["charge_kind"]: row for row in priced(other_fields=others)}
    assert rows["input"]["cost"] == 3
    finding = rows["cache_creation_ephemeral_24h_input_tokens"]
    assert (finding["consumed_quantity"], finding["price_basis"], len(rows)) == (9, "unknown_kind", 2)
    assert "cost" not in finding


@pytest.mark.parametrize(
    "other",
    [
        {"service_tier": "flex"},
        {"service_tier": "priority"},
        {"speed": "fast"},
        {"service_tier": "batch", "speed": "fast"},
        {"speed": "warp"},
    ],
)
def test_a_processing_without_a_price_has_none(other: dict[str, str]) -> None:
    (row,) = priced(**other)
    assert row["price_basis"] == "no_price"
    assert "cost" not in row


def test_an_unknown_place_of_inference_is_not_priced_as_any() -> None:
    with pytest.raises(StepFailed, match="'eu' is not known"):
        priced(inference_geo="eu")


# USD per million tokens as on Anthropic's pricing page: base and fast rows; the US factor is 11/10 of either.
PUBLISHED = {
    ("claude-opus-4-8", "standard"): ("5", "0.5", "6.25", "10", "25"),
    ("claude-opus-4-8", "fast"): ("10", "1", "12.5", "20", "50"),
    ("claude-opus-5-20260701", "fast"): ("10", "1", "12.5", "20", "50"),
    ("claude-opus-5-5", "fast"): ("8", "0.4", "10", "16", "40"),
    ("claude-opus-4-6", "standard"): ("5", "0.5", "6.25", "10", "25"),
    ("claude-sonnet-4-6", "standard"): ("3", "0.3", "3.75", "6", "15"),
    ("claude-opus-4-8", "batch"): ("2.5", "0.25", "3.125", "5", "12.5"),
}
COLUMNS = (
    *("uncached_input_tokens", "cache_read_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    "output_tokens",
)
TOKENS = (7, 1_000_003, 95_537, 41, 1_420)


def seeded() -> PriceBook:
    return PriceBook(prices_in((CONFIGS / "anthropic/seed/model_pricing.csv").read_bytes(), "model_pricing.csv"))


@pytest.mark.parametrize("geo", ["us", "global", None])
@pytest.mark.parametrize(("model", "how"), PUBLISHED)
def test_fast_and_us_inference_cost_their_own_price_and_multiply(model: str, how: str, geo: str | None) -> None:
    tier, speed = (how, None) if how == "batch" else ("standard", how)
    used = {
        **dict.fromkeys(("workspace_id", "api_key_id", "context_window"), None),
        "usage_date": date(2026, 11, 10),
        "usage_kind": "messages",
        "model": model,
        "service_tier": tier,
        "speed": speed,
        "inference_geo": geo,
        "web_search_requests": 3,
        **dict(zip(COLUMNS, TOKENS, strict=True)),
    }
    rows = list(cost_rows(used, seeded()))
    tenths = 11 if geo == "us" else 10  # of millionths of a dollar; searches cost a cent wherever they are made
    tokens = [
        Decimal(price) * count * tenths / 10**7 for price, count in zip(PUBLISHED[model, how], TOKENS, strict=True)
    ]
    assert [row["cost"] for row in rows] == [*tokens, Decimal("0.03")]
    assert {row["price_basis"] for row in rows[:-1]} == {"list"}
    assert {"/us@" in row["price_id"] for row in rows[:-1]} == {geo == "us"}


@pytest.mark.parametrize("model", ["claude-opus-4-5", "claude-haiku-4-5", "claude-3-7-sonnet-20250219"])
def test_models_before_4_6_have_no_us_price(model: str) -> None:
    book = seeded()
    listed = book.model(model)
    assert listed is not None
    found = [book.find(listed, "input", "standard", date(2026, 11, 10), Decimal(1), geo) for geo in ("us", "global")]
    assert None not in found
    assert len({each.price for each in found if each is not None}) == 1


def test_a_list_without_rows_for_the_us_prices_nothing_there() -> None:
    rows = prices_in((CONFIGS / "anthropic/seed/model_pricing.csv").read_bytes(), "model_pricing.csv")
    before = PriceBook([row for row in rows if not row["region"]])
    used = {
        **dict.fromkeys((*COLUMNS, "workspace_id", "api_key_id", "context_window", "service_tier"), None),
        **dict.fromkeys(COLUMNS, 5),
        "usage_date": date(2026, 11, 10),
        "usage_kind": "messages",
        "model": "claude-opus-4-8",
        "inference_geo": "us",
        "web_search_requests": 2,
    }
    basis = {row["charge_kind"]: row["price_basis"] for row in cost_rows(used, before)}
    assert basis.pop("web_search") == "list"  # a call costs the same in any place
    assert set(basis.values()) == {"no_price"}


def test_fast_mode_of_a_model_that_the_list_has_no_fast_price_of_is_a_finding() -> None:
    book = seeded()
    assert book.find("claude-opus-4-6", "output", "fast", date(2026, 11, 10), Decimal(1)) is None


def test_the_report_is_asked_for_speed_with_its_beta_header_and_fast_usage_reaches_the_charges() -> None:
    fast = {**GOOD, "service_tier": "standard", "context_window": "0-200k", "inference_geo": "us", "speed": "fast"}

    def handle(request: Request) -> Response:
        refusal = anthropic.authorise(request) or anthropic.answer(request)  # the rules of the API
        if refusal.status != 200:
            return refusal
        body = json.loads(refusal.body)
        for bucket in body["data"]:
            bucket["results"] = [fast]
        return Response(200, json.dumps(body).encode())

    async def scenario() -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
        clock, server = ManualClock(), HttpServer(handle)
        warehouse = DuckDbWarehouse(None, clock=clock)
        vault = Vault({"anthropic": anthropic.ADMIN_KEY})
        url = await server.start()
        try:
            async with httpx.AsyncClient() as client:
                day = {"start_date": FIRST, "end_date": FIRST}
                context = WorldContext(client, warehouse, clock, secrets=vault, provider="anthropic", **day)
                seed = {
                    "source": {"file": "anthropic/seed/model_pricing.csv"},
                    "destination": {"table": "anthropic_model_pricing"},
                }
                await seed_csv.get_engine().execute(seed, context)
                config = {"api_base_url": f"{url}/v1"}
                table = {"table": "anthropic_usage_daily_raw"}
                await usage.get_engine().execute({"config": config, "destination": table}, context)
                result = await cost.get_engine().execute({"destination": {"table": "anthropic_cost_daily"}}, context)
                sql = "SELECT charge_kind, unit_price, processing FROM anthropic_cost_daily ORDER BY unit_price"
                return (await context.warehouse.query(sql)).rows, result
        finally:
            await server.stop()
            warehouse.close()

    rows, result = asyncio.run(scenario())
    assert {row["processing"] for row in rows} == {"fast"}
    assert [row["unit_price"] for row in rows] == [Decimal(price) for price in ("1.1", "11", "13.75", "22", "55")]
    # 3 reads, 5 inputs, 1 and 2 writes, 4 outputs, in millionths of a dollar
    assert (
        Decimal(result["total_cost"])
        == Decimal("3.3") / 10**6 + Decimal(55 + 44 + 220) / 10**6 + Decimal("13.75") / 10**6
    )


def test_the_sandbox_groups_by_speed_with_the_beta_header_only() -> None:
    query = (("starting_at", "2026-11-10T00:00:00Z"), ("group_by[]", "speed"))
    path = "/v1/organizations/usage_report/messages"
    assert anthropic.answer(Request("GET", path, query, {}, b"")).status == 400
    assert anthropic.answer(Request("GET", path, query, {"anthropic-beta": anthropic.FAST_MODE}, b"")).status == 200
