"""The sandbox keeps the rules of the API it stands for, and invents no figure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.config.files.providers import load_providers
from convergence.sandbox import ADMIN_KEY, Sandbox, anthropic, azure, deepseek, google
from convergence.sandbox.aggregate import DATA, PRICES_FILE, SERVICES, TRACE_FILE, aggregate_trace, extract_prices
from convergence.sandbox.kinds import KINDS
from convergence.sandbox.traffic import rows

DAY = 86_400
START = 20_766 * DAY  # 2026-11-09
SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def ask(work: Callable[[httpx.AsyncClient], Awaitable[Any]], *, key: str = ADMIN_KEY, faults: bool = False) -> Any:
    """Run `work` with a client of a fresh sandbox."""

    async def main() -> Any:
        sandbox = Sandbox(faults=faults)
        base_url = await sandbox.start() + "/organization"
        try:
            async with httpx.AsyncClient(base_url=base_url, headers={"authorization": f"Bearer {key}"}) as client:
                return await work(client)
        finally:
            await sandbox.stop()

    return asyncio.run(main())


def get(path: str, *, key: str = ADMIN_KEY, **params: Any) -> httpx.Response:
    return ask(lambda client: client.get(path, params=params), key=key)


def test_two_and_a_half_days_replay_every_request_of_the_trace_once() -> None:
    replayed = rows("completions", START, START + DAY * 5 // 2)
    assert sum(int(row["num_model_requests"] or 0) for row in replayed) == 19_366 + 8_819
    assert sum(int(row["input_tokens"] or 0) for row in replayed) == 22_361_870 + 18_059_974
    assert sum(int(row["output_tokens"] or 0) for row in replayed) == 4_088_665 + 245_896


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_usage_has_figures_and_its_own_object_name(kind: str) -> None:
    answer = get(f"usage/{kind}", start_time=START, end_time=START + 2 * DAY).json()
    (result, *_) = answer["data"][0]["results"] or answer["data"][1]["results"]
    assert result["object"] == f"organization.usage.{KINDS[kind].object}.result"
    assert all(result[metric] > 0 for metric in KINDS[kind].metrics if "cache_write" not in metric)


def test_the_published_price_lists_need_no_key_and_agree_with_each_other() -> None:
    first, second = (get(f"../prices/{name}.json", key="none").json() for name in ("genai", "litellm"))
    (models,) = [one["models"] for one in first if one["id"] == "openai"]
    prices = {model["id"]: model["prices"] for model in models}
    assert prices["gpt-4o"] == {"input_mtok": 2.5, "output_mtok": 10, "cache_read_mtok": 1.25}
    assert second["gpt-4o"]["input_cost_per_token"] == 2.5e-06
    assert get("../prices/other.json", key="none").status_code == 404


def test_pages_hold_the_asked_number_of_buckets_and_cover_the_range_once() -> None:
    async def walk(client: httpx.AsyncClient) -> list[int]:
        params: dict[str, Any] = {"start_time": START, "end_time": START + 5 * DAY, "limit": 2}
        starts: list[int] = []
        while True:
            page = (await client.get("usage/completions", params=params)).json()
            starts += [bucket["start_time"] for bucket in page["data"]]
            if not page["has_more"]:
                return starts
            params["page"] = page["next_page"]

    assert ask(walk) == [START + day * DAY for day in range(5)]


@pytest.mark.parametrize("spelling", ["group_by", "group_by[]"])
def test_groups_add_up_to_the_ungrouped_total(spelling: str) -> None:
    whole = get("usage/completions", start_time=START).json()["data"][0]["results"]
    groups: dict[str, Any] = {spelling: ["model", "batch"]}
    parts = get("usage/completions", start_time=START, **groups).json()["data"][0]["results"]
    assert len(whole) == 1 < len(parts)
    assert whole[0]["model"] is None
    assert all(part["model"] for part in parts)
    assert sum(part["input_tokens"] for part in parts) == whole[0]["input_tokens"]


def test_a_filter_keeps_only_what_was_asked_for() -> None:
    results = get("usage/completions", start_time=START, models="gpt-4o", batch="true", group_by=["model", "batch"])
    assert [(part["model"], part["batch"]) for part in results.json()["data"][0]["results"]] == [("gpt-4o", True)]


def test_hours_and_minutes_add_up_to_their_day() -> None:
    def tokens(width: str, limit: int) -> int:
        answer = get("usage/completions", start_time=START, end_time=START + DAY, bucket_width=width, limit=limit)
        return sum(result["input_tokens"] for bucket in answer.json()["data"] for result in bucket["results"])

    assert tokens("1d", 1) == tokens("1h", 24) == tokens("1m", 1440) > 0


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "start_time"),
        ({"start_time": START, "limit": 32}, "limit"),
        ({"start_time": START, "bucket_width": "2d"}, "bucket_width"),
        ({"start_time": START, "group_by": "colour"}, "group_by"),
        ({"start_time": START, "end_time": START - 1}, "end_time"),
    ],
)
def test_a_bad_argument_is_400_and_named(params: dict[str, Any], param: str) -> None:
    answer = get("usage/completions", **params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_costs_before_december_6th_2025_cannot_be_grouped_by_key() -> None:
    epoch = 1_764_979_200
    refused = get("costs", start_time=epoch - 86_400, end_time=epoch + 86_400, group_by="api_key_id")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "group_by")
    assert str(epoch) in refused.json()["error"]["message"]
    assert get("costs", start_time=epoch, group_by="api_key_id").status_code == 200
    assert get("costs", start_time=epoch - 86_400, group_by="project_id").status_code == 200


def test_a_wrong_key_is_401_and_a_key_without_the_scope_403() -> None:
    assert get("costs", key="sk-other", start_time=START).status_code == 401
    refused = get("costs", key="sk-proj-1", start_time=START)
    assert refused.status_code == 403
    assert "api.usage.read" in refused.text


def test_each_extraction_meets_one_429_with_retry_after_and_one_500_always_at_the_same_calls() -> None:
    async def statuses(client: httpx.AsyncClient) -> list[httpx.Response]:
        first_page = [await client.get("usage/completions", params={"start_time": START})]
        return first_page + [await client.get("usage/images", params={"start_time": START}) for _ in range(8)]

    async def twice(client: httpx.AsyncClient) -> list[list[httpx.Response]]:
        return [await statuses(client), await statuses(client)]

    first, second = ask(twice, faults=True)
    codes = [answer.status_code for answer in first]
    assert codes == [answer.status_code for answer in second]
    assert (codes.count(429), codes.count(500)) == (1, 1)
    assert float(first[codes.index(429)].headers["retry-after"]) == 0.2


def test_the_bill_is_priced_per_group_by_the_other_list_and_written_without_a_float() -> None:
    text = get("costs", start_time=START, group_by="line_item").text
    results = json.loads(text, parse_float=Decimal)["data"][0]["results"]
    lines = {result["line_item"]: result for result in results}
    cached = lines["gpt-4o-search-preview, cached input"]
    assert cached["amount"]["value"] == cached["quantity"] * Decimal("0.00000125")  # LiteLLM: 1.25e-06 a token
    assert lines["gpt-4o-mini, web search"]["amount"]["value"] == lines["gpt-4o-mini, web search"][
        "quantity"
    ] * Decimal("0.025")


def test_bill_groups_add_up_to_the_ungrouped_bill() -> None:
    def amounts(**params: Any) -> Decimal:
        page = json.loads(get("costs", start_time=START, **params).text, parse_float=Decimal)
        return sum((Decimal(result["amount"]["value"]) for result in page["data"][0]["results"]), Decimal(0))

    assert amounts() == amounts(group_by=["line_item", "project_id", "api_key_id"]) > 0


def test_the_list_of_endpoints_names_what_is_real_and_what_is_assumed() -> None:
    text = Sandbox.describe()
    assert all(word in text for word in ("CC BY 4.0", "Splitwise", "ISCA 2024", "Assumed", "litellm 1.106.2", "MIT"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published sources are not beside the repository")
def test_the_packaged_figures_are_those_of_the_published_files() -> None:
    files = {name: (SHARED / "llm" / f"azure_llm_inference_2023_{name}.csv").read_text("utf-8") for name in SERVICES}
    trace = aggregate_trace({name: text.splitlines() for name, text in files.items()})
    prices = extract_prices((SHARED / "prices" / "litellm_1.106.2_subset.json").read_text("utf-8"))
    assert trace == (DATA / TRACE_FILE).read_text("utf-8")
    assert prices == (DATA / PRICES_FILE).read_text("utf-8")


def test_the_registry_points_pipelines_to_the_sandbox() -> None:
    registry = load_providers(Path(__file__).parents[3] / "configs").providers
    sandbox = Sandbox()
    sandbox.base_url = "http://127.0.0.1:1/v1"
    given = {name: sandbox.parameters(provider.sandbox) for name, provider in registry.items()}
    keys = {"openai": ADMIN_KEY, "anthropic": anthropic.ADMIN_KEY, "deepseek": deepseek.KEY}
    keys |= {"azure_openai": azure.CREDENTIAL, "vertex": google.service_account(sandbox.base_url)}
    assert {name: given[name]["api_key"] for name in keys} == keys
    assert given["azure_openai"]["resource_id"] == azure.RESOURCE
    assert given["azure_openai"]["token_url"] == "http://127.0.0.1:1/v1/azure/token"
    assert given["gemini"]["billing_export_table"] == google.TABLE
    assert given["deepseek"]["allow_private_addresses"] is True
