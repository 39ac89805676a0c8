"""`org_cost_tracking`, the threshold, late data, and what becomes of usage without a price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.tracking import Threshold, tracked, warnings
from convergence.processors.openai import cost, reconciliation
from tests.unit.processors.openai_world import World, in_world
from tests.unit.processors.step_world import LAST, NOW

THRESHOLD = Threshold(Decimal("0.01"), Decimal("0.01"))
DAY = date(2026, 11, 10)


def compared(computed: str | None, billed: str | None, reason: str, charge: str = "input") -> dict[str, Any]:
    ours, theirs = (None if text is None else Decimal(text) for text in (computed, billed))
    return {
        "usage_date": DAY,
        "model": "m",
        "charge_kind": charge,
        "currency": "USD",
        "reason": reason,
        "computed_cost": ours,
        "provider_cost": theirs,
        "explanation": f"because of {reason}",
        "difference": (theirs or Decimal(0)) - (ours or Decimal(0)),
    }


@pytest.mark.parametrize(
    ("rows", "state", "why"),
    [
        ([compared("5", "5", "match")], "matched", "match"),
        ([compared("5", "5.0000001", "rounding"), compared("1", "1", "match")], "within", "rounding"),
        ([compared("5", "5.02", "price")], "within", "price"),  # more than a cent, less than a hundredth
        ([compared("0.02", "0.029", "price")], "within", "price"),  # a third more, less than a cent
        ([compared("5", "6", "price"), compared("1", "1.1", "tier")], "over", "price"),
        ([compared(None, "1", "missing_price")], "over", "missing_price"),
        ([compared("5", None, "late_data")], "late", "late_data"),
        (
            [compared("5", "6", "price"), compared("6", "5", "tier")],
            "over",
            "price",
        ),  # two mistakes do not make it right
    ],
)
def test_a_day_and_model_has_one_state_and_the_class_of_its_largest_part(
    rows: list[Mapping[str, Any]], state: str, why: str
) -> None:
    (row,) = tracked(rows, "openai", THRESHOLD, NOW)
    assert (row["state"], row["class"], row["explanation"]) == (state, why, f"because of {why}")
    assert row["difference"] == (row["billed_cost"] or 0) - (row["computed_cost"] or 0)


def test_the_warning_names_the_largest_differences_and_the_threshold() -> None:
    rows = tracked([compared("5", "6", "price")], "openai", THRESHOLD, NOW)
    rows += tracked([compared("5", None, "late_data")], "openai", THRESHOLD, NOW)
    over, late = warnings(rows, THRESHOLD)
    assert over.startswith("1 of 2 days and models differ from the bill, by more than 0.01 USD and 1 %")
    assert "2026-11-10 m: billed 6.0000, computed 5.0000 (price)" in over
    assert "run these days again" in late
    assert warnings(tracked([compared("5", "5", "match")], "openai", THRESHOLD, NOW), THRESHOLD) == []


async def reconciled(here: World, **config: Any) -> Mapping[str, Any]:
    await here.seed()
    await here.usage()
    await here.cost()
    await here.billing()
    return await here.run(reconciliation, config=config, destination={"table": "openai_cost_daily_reconciled"})


def test_the_table_adds_up_to_both_sides_and_the_run_is_warned() -> None:
    async def work(here: World) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        result = await reconciled(here)
        return result, await here.rows("SELECT * FROM org_cost_tracking")

    result, rows = in_world(work)
    for column, name in (("billed_cost", "provider_cost"), ("computed_cost", "computed_cost")):
        assert sum(row[column] for row in rows if row[column] is not None) == Decimal(result[name]) > 100
    assert {row["provider"] for row in rows} == {"openai"}
    assert sum(result["states"].values()) == len(rows) == len({(row["usage_date"], row["model"]) for row in rows})
    assert "gpt-image-1" in result["warnings"][0]


def test_on_over_threshold_fail_stops_the_step_and_keeps_the_figures() -> None:
    async def work(here: World) -> int:
        with pytest.raises(StepFailed, match="differ from the bill"):
            await reconciled(here, on_over_threshold="fail")
        return int((await here.rows("SELECT COUNT(*) AS n FROM org_cost_tracking WHERE state = 'over'"))[0]["n"])

    assert in_world(work) > 0


def test_a_wide_threshold_warns_of_nothing() -> None:
    async def work(here: World) -> Mapping[str, Any]:
        return await reconciled(here, threshold_amount="1000")

    result = in_world(work)
    assert result["warnings"] == []
    assert set(result["states"]) == {"matched", "within"}


def test_usage_that_comes_later_is_late_data_until_the_next_run_over_the_day() -> None:
    day = f"usage_date = '{LAST}' AND model = 'gpt-4o'"

    async def work(here: World) -> list[dict[str, Any]]:
        found = []
        await here.seed()
        await here.usage()
        await here.billing()
        await here.context.warehouse.query(
            f"DELETE FROM openai_usage_daily_raw WHERE {day}", write=True
        )  # not there yet
        for _ in range(2):
            await here.cost()
            await here.reconciliation()
            found += await here.rows(f"SELECT * FROM org_cost_tracking WHERE {day}")
            await here.usage()  # the next run over the same days
        return found

    late, mended = in_world(work)
    assert (late["state"], late["class"], late["computed_cost"]) == ("late", "late_data", None)
    assert "run it again" in late["explanation"]
    assert (mended["state"], mended["class"], mended["difference"]) == ("matched", "match", 0)
    assert mended["computed_cost"] == late["billed_cost"] > 0


def test_rows_without_a_price_are_set_aside_and_released_when_they_have_one() -> None:
    async def work(here: World) -> list[list[dict[str, Any]]]:
        await here.seed()
        await here.usage()
        found = []
        for _ in range(2):
            await here.run(cost, config={"on_unknown_model": "warn"}, destination={"table": "openai_cost_daily"})
            found.append(await here.rows("SELECT * FROM org_meta_quarantine_rows"))
            price = "model, kind, unit, processing, above_input_tokens, price, currency, source, source_version"
            await here.context.warehouse.query(
                f"INSERT INTO openai_model_pricing (model_match, {price}, x_org_slug, x_pipeline_id, x_credential_id,"
                f" x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date) SELECT 'gpt-image-1', 'gpt-image-1',"
                " 'image', '1000 Calls', 'standard', 0, 40, 'USD', 'test', '1', x_org_slug, x_pipeline_id,"
                " x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date"
                " FROM openai_model_pricing LIMIT 1",
                write=True,
            )
        return found

    before, after = in_world(work)
    assert {row["reason"] for row in before} == {"no_price"}
    charged = [json.loads(row["row_json"]) for row in before]
    assert {row["charge_kind"] for row in charged} == {"image", "code_interpreter_session", "vector_store_byte"}
    assert {json.loads(row["row_json"])["charge_kind"] for row in after} == {
        "code_interpreter_session",
        "vector_store_byte",
    }
