"""The steps of the main job against the sandbox over real HTTP and the real local warehouse."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pytest

from convergence.errors import CredentialRejected, StepFailed
from convergence.processors.openai import validation
from convergence.sandbox.bill import charges
from convergence.sandbox.http import HttpServer, Request, Response
from convergence.sandbox.kinds import KINDS
from tests.unit.processors.openai_world import World, in_world, world
from tests.unit.processors.step_world import CONFIGS, FIRST, LAST, NOW

DAYS = [FIRST + timedelta(days=day) for day in range((LAST - FIRST).days + 1)]


def test_usage_of_all_endpoints_lands_in_one_table_through_pages_a_429_and_a_500() -> None:
    async def work(here: World) -> tuple[Mapping[str, Any], list[dict[str, Any]], list[float]]:
        result = await here.usage()
        return result, await here.rows("SELECT * FROM openai_usage_daily_raw"), here.context.clock.waits

    result, rows, waits = in_world(work)
    assert {row["usage_kind"] for row in rows} == set(KINDS)
    assert {row["usage_date"] for row in rows} == set(DAYS)
    assert result["rows_written"] == len(rows) == sum(result["rows_by_kind"].values())
    assert (result["http_retries"], waits[0]) == (2, 0.2)  # the 429 waited as asked
    assert result["http_calls"] == 2 * (len(KINDS) + 1) + 2  # ten days are two pages of seven; decisions have no rows
    assert (result["rows_by_kind"]["decisions"], result["warnings"]) == (0, [])


def test_running_the_same_days_twice_leaves_the_same_rows() -> None:
    async def work(here: World) -> list[int]:
        await here.seed()
        counts = []
        for _ in range(2):
            await here.usage()
            await here.cost()
            counts += [(await here.rows("SELECT COUNT(*) AS n FROM openai_cost_daily"))[0]["n"]]
        return counts

    first, second = in_world(work)
    assert first == second > 0


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (date(2026, 11, 20), []),
        (date(2026, 11, 21), ["2026-11-21: not over yet (UTC), so the figures are partial; run it again afterwards"]),
        (
            date(2026, 11, 22),
            ["2026-11-21 to 2026-11-22: not over yet (UTC), so the figures are partial; run it again afterwards"],
        ),
    ],
)
def test_a_day_that_is_not_over_is_a_warning(last: date, message: list[str]) -> None:
    async def work(here: World) -> Any:
        return (await here.usage(kinds=("completions",)))["warnings"]

    assert in_world(work, start_date=date(2026, 11, 20), end_date=last) == message


def test_a_day_without_usage_is_emptied() -> None:
    async def work(here: World) -> list[dict[str, Any]]:
        await here.usage(kinds=["completions", "images"])
        await here.usage(kinds=["code_interpreter_sessions"])  # has no calls on some days
        rows = await here.rows(
            "SELECT DISTINCT usage_date FROM openai_usage_daily_raw WHERE usage_kind = 'completions'"
        )
        return [row["usage_date"] for row in rows]

    assert in_world(work) == []


async def recomputed(base_url: str) -> Decimal:
    """The total straight from the API's figures and the CSV, sharing no line of code with the processors."""
    with (CONFIGS / "openai/seed/model_pricing.csv").open(encoding="utf-8", newline="") as lines:
        prices = [row for row in csv.DictReader(lines) if row["above_input_tokens"] == "0" and not row["effective_to"]]

    def price(model: str, kind: str, processing: str) -> Decimal:
        for own, how in ((kind, processing), (kind, "standard"), ("input", processing), ("input", "standard")):
            for row in prices:
                if (row["kind"], row["processing"]) == (own, how) and model in [
                    row["model"],
                    *row["model_match"].split(),
                ]:
                    return Decimal(row["price"])
        raise LookupError(f"{model} {kind} {processing}")

    total = Decimal(0)
    async with httpx.AsyncClient(headers={"authorization": "Bearer sk-admin-sandbox"}) as client:
        start = int((datetime(2026, 11, 10, tzinfo=NOW.tzinfo)).timestamp())
        for kind in KINDS:
            params: dict[str, Any] = {"start_time": start, "end_time": start + len(DAYS) * 86400, "limit": 31}
            params["group_by"] = KINDS[kind].group_by
            answer = await client.get(f"{base_url}/organization/usage/{kind}", params=params)
            while answer.status_code != 200:
                answer = await client.get(f"{base_url}/organization/usage/{kind}", params=params)
            for result in (result for bucket in answer.json()["data"] for result in bucket["results"]):
                tier = str(result.get("service_tier"))
                how = "batch" if result.get("batch") else {"flex": "flex", "priority": "priority"}.get(tier, "standard")
                if kind == "completions":
                    cached, written = result["input_cached_tokens"], result["input_cache_write_tokens"]
                    parts = {"cached_input": cached, "cache_write": written, "output": result["output_tokens"]}
                    parts["input"] = result["input_tokens"] - cached - written
                    million = sum(count * price(result["model"], name, how) for name, count in parts.items() if count)
                    total += million / 1_000_000
                elif kind == "embeddings":
                    total += result["input_tokens"] * price(result["model"], "input", how) / 1_000_000
                elif kind == "audio_speeches":
                    total += result["characters"] * price(result["model"], "character", how) / 1_000_000
                elif kind == "audio_transcriptions":
                    total += result["seconds"] * price(result["model"], "second", how) / 3600
                elif kind == "web_search_calls":
                    total += result["num_requests"] * price(result["model"], "web_search", how) / 1000
                elif kind == "file_search_calls":
                    total += result["num_requests"] * price("*", "file_search", how) / 1000
    return total


def test_the_sum_of_cost_rows_is_the_independent_sum_to_the_last_digit() -> None:
    async def work(here: World) -> tuple[Decimal, Decimal, str]:
        await here.seed()
        await here.usage()
        result = await here.cost()
        (row,) = await here.rows("SELECT SUM(cost) AS total FROM openai_cost_daily")
        return row["total"], await recomputed(here.base_url), result["total_cost"]

    stored, independent, message = in_world(work)
    assert stored == independent == Decimal(message) > 200


def test_what_has_no_price_is_listed_and_kept_without_a_cost() -> None:
    async def work(here: World) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        await here.seed()
        await here.usage()
        result = await here.cost()
        return result, await here.rows(
            "SELECT DISTINCT charge_kind, unit_price FROM openai_cost_daily WHERE cost IS NULL"
        )

    result, rows = in_world(work)
    assert {row["charge_kind"] for row in rows} == {"image", "code_interpreter_session", "vector_store_byte"}
    assert all(row["unit_price"] is None for row in rows)
    assert "gpt-image-1: image (no_price)" in result["unpriced"]
    assert result["priced_by_mean_length"] == ["gpt-5.6-luna"]
    assert "gpt-image-1: image (no_price)" in result["warnings"][0]


def test_on_unknown_model_fail_stops_the_step_and_keeps_the_earlier_rows() -> None:
    async def work(here: World) -> int:
        await here.seed()
        await here.usage()
        await here.cost()
        with pytest.raises(StepFailed, match="gpt-image-1: image"):
            await here.cost(on_unknown_model="fail")
        return int((await here.rows("SELECT COUNT(*) AS n FROM openai_cost_daily"))[0]["n"])

    assert in_world(work) > 0


def test_without_a_price_list_the_step_says_how_to_get_one() -> None:
    async def work(here: World) -> None:
        await here.usage()
        await here.cost()

    with pytest.raises(StepFailed, match="openai/auth/setup"):
        in_world(work)


def test_the_reconciliation_explains_every_difference_to_the_bill() -> None:
    async def work(here: World) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        await here.seed()
        await here.usage()
        await here.cost()
        await here.billing()
        result = await here.reconciliation()
        return result, await here.rows("SELECT * FROM openai_cost_daily_reconciled")

    result, rows = in_world(work)
    final = [row for row in rows if (NOW.date() - row["usage_date"]).days > 3]  # later ones may be late data
    reasons = {(row["model"], row["charge_kind"]): row["reason"] for row in final if row["reason"] != "match"}
    assert reasons == {
        (None, "file_search"): "not_billed",
        (None, "vector_store_byte"): "missing_price",
        (None, "code_interpreter_session"): "missing_price",
        ("gpt-image-1", "image"): "missing_price",
        ("gpt-4o-mini", "web_search"): "price",
        ("gpt-4o-search-preview", "cached_input"): "price",
    }
    difference = Decimal(result["provider_cost"]) - Decimal(result["computed_cost"])
    assert sum(row["difference"] for row in rows) == difference
    assert sum(map(Decimal, result["difference_by_reason"].values())) == difference != 0


def test_a_good_key_is_marked_valid_and_a_refused_one_invalid_with_advice() -> None:
    async def work(here: World) -> list[tuple[str, bool, str]]:
        config = {"api_base_url": here.base_url}
        assert (await here.run(validation, config=config))["valid"] is True
        here.context.vault.secrets["openai"] = "sk-proj-only"
        with pytest.raises(CredentialRejected):
            await here.run(validation, config=config)
        return here.context.vault.marks

    good, bad = in_world(work)
    assert good == ("openai", True, "")
    assert bad[:2] == ("openai", False)
    assert "openai/auth/setup" in bad[2]
    assert "sk-proj-only" not in bad[2]


def test_the_credential_that_was_opened_is_the_one_that_is_marked() -> None:
    async def work(here: World) -> list[tuple[str, bool, str]]:
        here.context.vault.secrets["openai_eu"] = here.context.vault.secrets["openai"]
        await here.run(validation, config={"api_base_url": here.base_url, "secret": "openai_eu"})
        return here.context.vault.marks

    assert in_world(work) == [("openai_eu", True, "")]


def bucket(day: date, *results: Mapping[str, Any]) -> dict[str, Any]:
    start = int(datetime(day.year, day.month, day.day, tzinfo=NOW.tzinfo).timestamp())
    return {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": list(results)}


async def extract_from(*buckets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Extract two days of completions from an API that answers these buckets."""
    body = orjson.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None})

    def handler(request: Request) -> Response:
        return Response(200, body)

    server = HttpServer(handler)
    async with world(end_date=FIRST + timedelta(days=1)) as here:
        base_url = await server.start()
        try:
            await here.usage(api_base_url=base_url, kinds=["completions"])
        finally:
            await server.stop()
        return await here.rows("SELECT * FROM openai_usage_daily_raw")


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([0], "no bucket for 2026-11-11"),
        ([0, 0], "2026-11-10 appears twice"),
        ([0, 1, 2], "2026-11-12 is outside"),
    ],
)
def test_an_answer_with_fewer_or_more_days_than_asked_is_never_green(days: list[int], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        asyncio.run(extract_from(*(bucket(FIRST + timedelta(days=day)) for day in days)))


@pytest.mark.parametrize("results", [None, {}, [None], [[]], "none"])
def test_a_bucket_without_a_list_of_results_is_refused(results: Any) -> None:
    with pytest.raises(StepFailed, match=r"no data\[\]\.start_time and \.results"):
        asyncio.run(extract_from({**bucket(DAYS[0]), "results": results}, bucket(DAYS[1])))


@pytest.mark.parametrize("count", [-1, -1.0, 0.5])
def test_a_count_that_is_none_is_refused_with_day_and_field(count: float) -> None:
    with pytest.raises(StepFailed, match=f"2026-11-10: input_tokens is {count}"):
        asyncio.run(extract_from(bucket(DAYS[0], {"model": "gpt-4o", "input_tokens": count}), bucket(DAYS[1])))


def test_fields_that_the_api_adds_later_are_kept() -> None:
    result = {"object": "x", "model": "gpt-4o", "input_tokens": 3, "output_tokens": 0, "input_video_tokens": 2}
    (row,) = asyncio.run(extract_from(bucket(DAYS[0], result), bucket(DAYS[1])))
    assert (row["input_tokens"], row["other_fields"]) == (3, '{"input_video_tokens":2}')


@pytest.mark.parametrize(
    "result", [{"error": {"message": "no data"}}, {}, {"input_tokens": 3}, {"input_tokens": None, "output_tokens": 1}]
)
def test_a_result_without_its_counts_is_never_a_row_of_nulls(result: Mapping[str, Any]) -> None:
    with pytest.raises(StepFailed, match=r"completions on 2026-11-10: a result without (in|out)put_tokens"):
        asyncio.run(extract_from(bucket(DAYS[0], result), bucket(DAYS[1])))


def test_an_endpoint_in_beta_that_the_organization_has_not_is_a_warning() -> None:
    def handler(request: Request) -> Response:
        if request.path.endswith(("decisions", "images")):
            return Response(404, b'{"error": {"message": "Invalid URL"}}')
        days = [bucket(FIRST), bucket(FIRST + timedelta(days=1))]
        return Response(200, orjson.dumps({"object": "page", "data": days, "has_more": False, "next_page": None}))

    async def main(*kinds: str) -> Any:
        server = HttpServer(handler)
        async with world(end_date=FIRST + timedelta(days=1)) as here:
            try:
                return await here.usage(api_base_url=await server.start(), kinds=kinds)
            finally:
                await server.stop()

    (warning,) = asyncio.run(main("completions", "decisions"))["warnings"]
    assert warning.startswith("usage of kind decisions was not read: ")
    assert "404" in warning
    with pytest.raises(StepFailed, match="404"):
        asyncio.run(main("images"))


KEYS_FROM = date(2025, 12, 6)  # Unix 1764979200


@pytest.mark.parametrize(
    ("first", "last", "without_key"),
    [
        (KEYS_FROM - timedelta(days=2), KEYS_FROM + timedelta(days=1), 2),
        (KEYS_FROM - timedelta(days=2), KEYS_FROM - timedelta(days=1), 2),
        (KEYS_FROM, KEYS_FROM + timedelta(days=1), 0),
    ],
)
def test_costs_of_days_that_know_no_keys_are_asked_for_without_them(first: date, last: date, without_key: int) -> None:
    async def work(here: World) -> tuple[list[dict[str, Any]], list[tuple[date, Decimal]]]:
        await here.billing()
        sql = "SELECT usage_date, api_key_id, amount FROM openai_billing_daily_raw"
        billed = []
        for day in days_between(first, last):
            start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            billed.append((day, sum((charge.amount for charge in charges(start, start + 86_400)), Decimal(0))))
        return await here.rows(sql), billed

    rows, billed = in_world(work, start_date=first, end_date=last)
    days = days_between(first, last)
    keyed = {day: any(row["api_key_id"] for row in rows if row["usage_date"] == day) for day in days}
    assert keyed == {day: number >= without_key for number, day in enumerate(days)}
    sums = [(day, sum((row["amount"] for row in rows if row["usage_date"] == day), Decimal(0))) for day in days]
    assert sums == billed
    assert all(amount > 0 for _, amount in billed)


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
