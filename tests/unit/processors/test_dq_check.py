"""`generic.dq_check`: checks pass, warn, stop or set rows aside, and are recorded."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import WriteMode
from tests.unit.processors.sql_world import DAY, ROWS, TABLE, rows, run_scenario, step
from tests.unit.processors.step_world import WorldContext

CHECKS: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "not_null", "column": "id"}, None),
    ({"type": "not_null", "columns": ["id", "kind"]}, "1 of 3 rows break not_null"),
    ({"type": "unique", "column": "day"}, "3 of 3 rows break unique"),
    ({"type": "unique", "columns": ["id", "kind"]}, None),
    ({"type": "range", "column": "amount", "min": 0}, "1 of 3 rows break range"),
    ({"type": "range", "column": "amount", "min": -2, "max": 4}, None),
    ({"type": "accepted_values", "column": "kind", "values": ["a"]}, "1 of 3 rows break accepted_values"),
    ({"type": "row_count", "min": 4}, "3 rows; expected at least 4"),
    ({"type": "row_count", "source_table": "acme_sums_daily_unified"}, "3 rows; expected 0"),
    ({"type": "row_count", "source_table": TABLE}, None),
    ({"type": "freshness", "column": "day", "max_age_hours": 24}, "the latest is 2026-11-10"),
    ({"type": "freshness", "column": "day", "max_age_hours": 2400}, None),
    ({"type": "custom_sql", "sql": f"SELECT id FROM {TABLE} WHERE amount > 3"}, "1 rows, none expected"),
]


def test_a_table_with_a_day_in_the_future_is_not_fresh(tmp_path: Path) -> None:
    """One wrong year would otherwise keep a dead source green for ever."""

    async def scenario(context: WorldContext) -> Any:
        later = f"UPDATE {TABLE} SET day = DATE '2999-01-01' WHERE id = 1"
        await context.warehouse.query(later, write=True)
        check = {"type": "freshness", "column": "day", "max_age_hours": 2400}
        await step(context, "generic.dq_check", {"table": TABLE, "scope": "all", "checks": [check]})

    with pytest.raises(StepFailed, match=r"the latest is 2999-01-01.*, which is in the future"):
        run_scenario(tmp_path, scenario)


@pytest.mark.parametrize(("check", "message"), CHECKS)
def test_a_check_passes_or_stops_the_step_and_is_recorded(
    tmp_path: Path, check: dict[str, Any], message: str | None
) -> None:
    async def scenario(context: WorldContext) -> Any:
        await context.warehouse.ensure_table("acme_sums_daily_unified")
        failed = ""
        try:
            await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})
        except StepFailed as error:
            failed = str(error)
        return failed, await rows(context, "SELECT status, rows_checked, detail FROM org_meta_dq_results")

    failed, (row,) = run_scenario(tmp_path, scenario)
    assert (message is None and not failed) or (message is not None and message in failed), failed
    assert (row["status"], row["rows_checked"]) == ("failed" if message else "passed", 3)


def test_a_check_that_warns_leaves_the_step_green(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        check = {"type": "row_count", "min": 10, "on_fail": "warn"}
        return await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})

    result = run_scenario(tmp_path, scenario)
    assert result["status"] == "SUCCESS"
    assert len(result["checks_failed"]) == 1
    assert result["warnings"] == [f"{TABLE}: 01_row_count: 3 rows; expected at least 10"]


def test_bad_rows_can_be_set_aside(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        check = {"type": "range", "column": "amount", "min": 0, "on_fail": "quarantine"}
        await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})
        aside = await rows(context, "SELECT reason, row_json FROM org_meta_quarantine_rows")
        return aside, await rows(context, f"SELECT COUNT(*) AS n FROM {TABLE}")

    (aside,), left = run_scenario(tmp_path, scenario)
    assert json.loads(aside["row_json"])["id"] == 2
    assert left == [{"n": 2}]


ASIDE = {"type": "range", "column": "amount", "min": 0, "on_fail": "quarantine"}


def test_each_of_several_equal_rows_is_set_aside(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [ROWS[0], ROWS[0], ROWS[1]])
        await context.warehouse.load(stage, dates=[DAY])
        check = {"type": "unique", "column": "id", "on_fail": "quarantine"}
        await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})
        return [await rows(context, f"SELECT 1 FROM {name}") for name in (TABLE, "org_meta_quarantine_rows")]

    left, aside = run_scenario(tmp_path, scenario)
    assert (len(left), len(aside)) == (1, 2)  # read = loaded + quarantined


def test_a_bad_row_that_is_loaded_again_is_set_aside_once(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        for run_id in ("run_1", "run_2"):
            context.run_id = run_id
            await context.clock.sleep(60)
            stage = context.warehouse.stage(TABLE)
            await stage.write(0, ROWS)
            await context.warehouse.load(stage, dates=[DAY])
            await step(context, "generic.dq_check", {"table": TABLE, "checks": [ASIDE]})
        return await rows(context, "SELECT x_run_id FROM org_meta_quarantine_rows")

    assert run_scenario(tmp_path, scenario) == [{"x_run_id": "run_2"}]


@pytest.mark.parametrize(("scope", "left"), [("run", 3), ("days", 2)])
def test_rows_of_another_credential_are_checked_where_the_file_says_so(tmp_path: Path, scope: str, left: int) -> None:
    async def scenario(context: WorldContext) -> Any:
        context.credential_id = "cred_2"
        await step(context, "generic.dq_check", {"table": TABLE, "checks": [ASIDE], "scope": scope})
        check = {"type": "row_count", "min": 1, "on_fail": "warn"}
        counted = await step(context, "generic.dq_check", {"table": TABLE, "checks": [check], "scope": scope})
        return counted["rows_processed"], len(await rows(context, f"SELECT 1 FROM {TABLE}"))

    assert run_scenario(tmp_path, scenario) == (0 if scope == "run" else left, left)


@pytest.mark.parametrize(("least", "status"), [(0, "passed"), (2, "failed")])
def test_rows_merged_by_key_are_checked_though_their_day_is_not_the_runs(
    tmp_path: Path, least: int, status: str
) -> None:
    async def scenario(context: WorldContext) -> Any:
        context.run_id = "run_2"
        context.start_date = context.end_date = date(2025, 1, 1)  # the load gives merged rows the day of the load
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{**ROWS[0], "id": 7}, {**ROWS[0], "id": 8, "amount": 1}])
        await context.warehouse.load(stage, dates=None, mode=WriteMode.MERGE, key_fields=["id"])
        check = {"type": "range", "column": "amount", "min": least, "on_fail": "warn"}
        result = await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})
        return result["rows_checked"], await rows(context, "SELECT status, rows_checked FROM org_meta_dq_results")

    assert run_scenario(tmp_path, scenario) == (2, [{"status": status, "rows_checked": 2}])


VACUOUS = [
    {"type": "not_null", "column": "id"},
    {"type": "unique", "column": "id"},
    {"type": "range", "column": "amount", "min": 0},
    {"type": "accepted_values", "column": "kind", "values": ["a"]},
    {"type": "row_count", "source_table": TABLE},
    {"type": "custom_sql", "sql": f"SELECT id FROM {TABLE} WHERE FALSE"},
]


@pytest.mark.parametrize("check", VACUOUS)
@pytest.mark.parametrize("scope", ["run", "days"])
def test_a_check_over_no_rows_is_a_warning_and_not_passed(tmp_path: Path, check: dict[str, Any], scope: str) -> None:
    async def scenario(context: WorldContext) -> Any:
        context.run_id, context.start_date, context.end_date = "run_2", date(2025, 1, 1), date(2025, 1, 1)
        result = await step(context, "generic.dq_check", {"table": TABLE, "checks": [check], "scope": scope})
        return result, await rows(context, "SELECT status, rows_checked, detail FROM org_meta_dq_results")

    result, (row,) = run_scenario(tmp_path, scenario)
    assert (result["rows_checked"], result["checks_passed"], result["checks_failed"]) == (0, 0, [])
    assert len(result["warnings"]) == 1
    assert "checked 0 rows" in result["warnings"][0]
    assert (row["status"], row["rows_checked"]) == ("empty", 0)
    assert row["detail"].startswith("checked 0 rows")


@pytest.mark.parametrize(
    "check",
    [
        {"type": "unique", "columns": ["id", "kind"]},
        {"type": "range", "columns": ["amount", "id"], "min": -5},
        {"type": "accepted_values", "column": "kind", "values": ["a"]},
    ],
)
def test_a_check_over_nothing_but_nulls_is_a_warning_and_not_passed(tmp_path: Path, check: dict[str, Any]) -> None:
    async def scenario(context: WorldContext) -> Any:
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{"id": 1}, {"id": 2}])
        await context.warehouse.load(stage, dates=[DAY])
        result = await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})
        return result, await rows(context, "SELECT status, rows_checked, detail FROM org_meta_dq_results")

    result, (row,) = run_scenario(tmp_path, scenario)
    without = "amount" if check["type"] == "range" else "kind"
    assert (result["checks_passed"], result["checks_failed"]) == (0, [])
    assert row == {
        "status": "empty",
        "rows_checked": 2,
        "detail": f"checked no value: {without} is NULL in all 2 rows",
    }
    assert result["warnings"] == [f"{TABLE}: 01_{check['type']}: {row['detail']}"]


def test_one_value_among_nulls_is_enough_to_check(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [{"id": 1}, {"id": 2, "kind": "a"}])
        await context.warehouse.load(stage, dates=[DAY])
        check = {"type": "accepted_values", "column": "kind", "values": ["a"]}
        return await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})

    result = run_scenario(tmp_path, scenario)
    assert (result["checks_passed"], result["warnings"]) == (1, [])


def test_a_count_that_allows_none_passes_on_an_empty_table(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        context.run_id, context.start_date, context.end_date = "run_2", date(2025, 1, 1), date(2025, 1, 1)
        check = {"type": "row_count", "max": 0}
        return await step(context, "generic.dq_check", {"table": TABLE, "checks": [check]})

    assert run_scenario(tmp_path, scenario)["warnings"] == []


def test_checks_can_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "things.yml").write_text(f"table: {TABLE}\nchecks: [{{type: not_null, column: kind}}]")

    async def scenario(context: WorldContext) -> Any:
        await step(context, "generic.dq_check", {"dq_config": "things.yml"})

    with pytest.raises(StepFailed, match="01_not_null"):
        run_scenario(tmp_path, scenario)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"table": TABLE}, "give checks"),
        ({"table": TABLE, "checks": [{"type": "range", "column": "id"}]}, "range needs min"),
        ({"table": TABLE, "checks": [{"type": "not_null", "column": "kinds"}]}, "no column 'kinds'.*'kind'"),
        ({"table": TABLE, "checks": [{"type": "row_count", "min": 1, "on_fail": "quarantine"}]}, "does not identify"),
        (
            {"table": TABLE, "checks": [{"type": "accepted_values", "column": "kind", "values": ["a", None]}]},
            "every value is accepted",
        ),
        ({"table": TABLE, "checks": [{"type": "range", "column": "id", "min": float("nan")}]}, "holds for every value"),
    ],
)
def test_a_mistake_in_a_check_is_named(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    async def scenario(context: WorldContext) -> Any:
        await step(context, "generic.dq_check", config)

    with pytest.raises(StepFailed, match=message):
        run_scenario(tmp_path, scenario)
