"""Past days at another price list: before and after without writing, and the same figures written on demand."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.before_after import compare, one_currency
from convergence.processors.genai.seeded import prices_in
from tests.unit.processors.installation import CONFIGS, Here, days, installed

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 11)
RANGE = days(FIRST, LAST)
REPRICE = "genai/reprice/openai"
TABLES = ("openai_cost_daily", "genai_cost_daily_unified", "cost_data_standard_1_3", "openai_model_pricing")


def charge(model: str = "m", cost: str | None = "1", quantity: int = 10, **fields: Any) -> dict[str, Any]:
    money = {} if cost is None else {"cost": Decimal(cost), "currency": "USD"}
    return {"model": model, "charge_kind": "input", "consumed_quantity": quantity, "price_id": "p@1", **money, **fields}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([charge()], [charge()], "same"),
        ([charge()], [charge(cost="2")], "price"),
        ([charge()], [charge(cost="2", quantity=20)], "usage"),
        ([], [charge()], "priced"),
        ([charge()], [charge(cost=None)], "unpriced"),
        ([charge()], [charge(), charge(charge_kind="output")], "priced"),
        ([charge(), charge(charge_kind="output")], [charge()], "unpriced"),
        ([], [charge(cost=None)], "same"),
    ],
)
def test_a_change_has_a_reason(before: list[Mapping[str, Any]], after: list[Mapping[str, Any]], reason: str) -> None:
    (row,) = compare(FIRST, before, after)
    assert row["reason"] == reason
    assert row["difference"] == (row["cost_after"] or 0) - (row["cost_before"] or 0)


def test_charges_in_two_currencies_are_not_compared() -> None:
    with pytest.raises(StepFailed, match="charges in EUR and USD cannot be compared"):
        compare(FIRST, [charge()], [charge(currency="EUR")])
    unpriced = charge(model="o", cost=None)
    one_currency(compare(FIRST, [charge(currency="EUR"), unpriced], [charge(currency="EUR"), unpriced]))
    with pytest.raises(StepFailed, match="charges in EUR and USD, which cannot be added up"):
        one_currency(compare(FIRST, [], [charge(), charge(model="n", currency="EUR")]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("m,m,input,u,standard,0,cheap,USD,,,s,1", "list.csv:2: price is 'cheap'"),
        ("m,m,input,u,standard,0,NaN,USD,,,s,1", "list.csv:2: price is 'NaN'"),
        ("m,m,input,u,standard,0,1,USD,soon,,s,1", "soon"),
        ("m,,input,u,standard,,,USD,,,s,1", "list.csv:2: above_input_tokens and price must not be empty"),
    ],
)
def test_a_price_file_that_cannot_be_read_names_its_line(line: str, message: str) -> None:
    header = (
        "model,model_match,kind,unit,processing,above_input_tokens,price,currency,effective_from,effective_to"
        ",source,source_version"
    )
    with pytest.raises(StepFailed, match=message):
        prices_in(f"{header}\n{line}\n".encode(), "list.csv")
    with pytest.raises(StepFailed, match="a price list must also have the columns"):
        prices_in(b"model,price\nm,1\n", "list.csv")


async def stored(here: Here) -> dict[str, list[Any]]:
    """All rows of the tables that a re-pricing writes."""
    return {table: sorted(map(str, await here.rows(f"SELECT * FROM {table}"))) for table in TABLES}


async def focus(here: Here) -> Decimal:
    """What was computed; residuals make up for it, so that the whole stays the bill."""
    computed, whole = [
        (await here.rows(f"SELECT SUM(BilledCost) AS cost FROM cost_data_standard_1_3 {where}"))[0]["cost"]
        for where in ("WHERE x_CostOrigin <> 'residual'", "")
    ]
    (bill,) = await here.rows("SELECT SUM(amount) AS amount FROM openai_billing_daily_raw")
    assert whole == bill["amount"]
    return Decimal(computed)


def dearer(folder: Path) -> Path:
    """A copy of configs with a price list in which output of gpt-4o costs twice as much from the second day on."""
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    file = configs / "openai/seed/model_pricing.csv"
    lines = []
    for line in file.read_text("utf-8").splitlines():
        fields = line.split(",")
        if fields[0] == "gpt-4o" and fields[2] == "output" and fields[4] == "standard":
            old, new = list(fields), list(fields)
            old[10], new[9] = LAST.isoformat(), LAST.isoformat()
            new[7] = str(Decimal(fields[7]) * 2)
            lines += [",".join(old), ",".join(new)]
        else:
            lines.append(line)
    (configs / "openai/seed/dearer.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return configs


def test_a_dry_run_tells_exactly_what_applying_writes_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path / "data", configs=dearer(tmp_path)) as here:
            await here.set_up("openai")
            await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
            old, before = await stored(here), await focus(here)
            asked = {"price_file": "openai/seed/dearer.csv", **RANGE}

            dry = (await here.good(REPRICE, **asked))["calculate_costs"]
            assert (dry["applied"], await stored(here)) == (False, old)
            assert {row["model"] for row in dry["changes"]} == {"gpt-4o"}
            assert {(row["usage_date"], row["reason"]) for row in dry["changes"]} == {(LAST.isoformat(), "price")}
            assert Decimal(dry["before"]) == before < Decimal(dry["after"])

            wet = (await here.good(REPRICE, apply=True, **asked))["calculate_costs"]
            assert [wet[name] for name in ("before", "after", "days", "changes")] == [
                dry[name] for name in ("before", "after", "days", "changes")
            ]
            assert await focus(here) == Decimal(dry["after"])
            (kept,) = await here.rows("SELECT * FROM org_cost_repricing WHERE reason <> 'same'")
            assert kept["difference"] == Decimal(dry["difference"])
            assert f"gpt-4o/output/standard/0@{LAST}" in kept["prices_after"]
            assert f"gpt-4o/output/standard/0@{LAST}" not in kept["prices_before"]

            again = (await here.good(REPRICE, apply=True, **asked))["calculate_costs"]
            assert (again["changes"], await focus(here)) == ([], Decimal(dry["after"]))

    asyncio.run(work())


def test_usage_without_a_price_is_set_aside_once_and_released_by_a_price(tmp_path: Path) -> None:
    configs = dearer(tmp_path)
    listed = (configs / "openai/seed/model_pricing.csv").read_text("utf-8")
    image = "gpt-image-1,gpt-image-1,image,1000 Calls,standard,,0,40,USD,,,somebody,1\n"
    (configs / "openai/seed/whole.csv").write_text(listed + image, "utf-8")
    aside = (
        "SELECT x_pipeline_id, COALESCE(JSON_VALUE(row_json, '$.model'), '-') AS model, COUNT(*) AS n"
        " FROM org_meta_quarantine_rows GROUP BY 1, 2 ORDER BY 2"
    )

    async def work() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.set_up("openai")
            await here.good("openai/cost/usage_cost", api_base_url=here.url, **RANGE)
            first = {row["model"]: row["n"] for row in await here.rows(aside)}
            await here.good("genai/payg/openai", api_base_url=here.url, **RANGE)
            again = await here.rows(aside)
            assert {row["x_pipeline_id"] for row in again} == {"acme-genai-payg-openai"}
            assert {row["model"]: row["n"] for row in again} == first
            await here.good(REPRICE, apply=True, price_file="openai/seed/whole.csv", **RANGE)
            left = await here.rows(aside)
            assert {row["model"]: row["n"] for row in left} == {"-": first["-"]}
            assert "gpt-image-1" in first

    asyncio.run(work())


def test_a_provider_without_a_price_list_and_too_many_days_are_refused(tmp_path: Path) -> None:
    async def work() -> tuple[str, str]:
        async with installed(tmp_path) as here:
            await here.set_up("openai")
            run = await here.run(REPRICE, start_date="2025-01-01", end_date="2026-11-01")
            assert run.error is not None
            escaping = await here.run(REPRICE, price_file="../pyproject.toml", **RANGE)
            assert escaping.error is not None
            return run.error["message"], escaping.error["message"]

    many, escaping = asyncio.run(work())
    assert "re-price at most 184" in many
    assert "pyproject" in escaping
