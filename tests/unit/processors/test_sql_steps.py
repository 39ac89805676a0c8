"""`generic.bq_execute`, `generic.local_bq_transformer` and `generic.dq_check` on the real local warehouse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.ports.warehouse import WriteMode
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

DAY = date(2026, 11, 10)
TABLE = "acme_things_daily_raw"
FIELDS = [
    {"name": "id", "type": "INT64"},
    {"name": "day", "type": "DATE"},
    {"name": "kind", "type": "STRING"},
    {"name": "amount", "type": "NUMERIC"},
]
ROWS = [
    {"id": 1, "day": "2026-11-10", "kind": "a", "amount": "1.5"},
    {"id": 2, "day": "2026-11-10", "kind": "b", "amount": "-2"},
    {"id": 2, "day": "2026-11-10", "kind": None, "amount": "4"},
]
Scenario = Callable[[WorldContext], Awaitable[Any]]


def run_scenario(folder: Path, scenario: Scenario) -> Any:
    """Run a scenario on a table of three rows."""
    schemas = folder / "acme" / "schemas"
    schemas.mkdir(parents=True)
    for name in (TABLE, "acme_sums_daily_unified"):
        (schemas / f"{name}.json").write_text(json.dumps(FIELDS))
    for name in ("org_meta_dq_results", "org_meta_quarantine_rows"):
        (schemas / f"{name}.json").write_text((CONFIGS / f"system/schemas/{name}.json").read_text())
    clock = ManualClock()
    warehouse = DuckDbWarehouse(None, clock=clock)

    async def main() -> Any:
        fields = {"configs_dir": folder, "start_date": DAY, "end_date": DAY}
        context = WorldContext(None, warehouse, clock, **fields)
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, ROWS)
        await context.warehouse.load(stage, dates=[DAY])
        return await scenario(context)

    try:
        return asyncio.run(main())
    finally:
        warehouse.close()


async def step(context: WorldContext, ps_type: str, config: Mapping[str, Any], **parts: Any) -> Mapping[str, Any]:
    return await ps_types.load(ps_type).execute({"config": config, **parts}, context)


async def rows(context: WorldContext, sql: str) -> list[dict[str, Any]]:
    return (await context.warehouse.query(sql)).rows


def test_rows_of_a_query_go_into_a_table_with_lineage_and_replace_its_slice(tmp_path: Path) -> None:
    sql = f"SELECT day, SUM(amount) AS amount FROM `{TABLE}` WHERE kind = @kind OR day = @day GROUP BY day"
    config = {
        "query": {"sql": sql, "parameters": {"day": {"type": "DATE", "value": "2026-11-10"}}},
        "parameters": [{"name": "kind", "type": "STRING", "value": "a"}],
    }

    async def scenario(context: WorldContext) -> Any:
        for _ in range(2):
            result = await step(context, "generic.bq_execute", config, destination={"table": "acme_sums_daily_unified"})
        return result, await rows(context, "SELECT * FROM acme_sums_daily_unified")

    result, (row,) = run_scenario(tmp_path, scenario)
    assert (result["rows_written"], row["amount"], row["x_pipeline_run_date"]) == (1, Decimal("3.5"), DAY)
    assert row["x_org_slug"] == "acme"


LINEAGE = "'{org}' AS x_org_slug, '{run}' AS x_run_id, CURRENT_TIMESTAMP() AS x_ingested_at"


def test_a_statement_may_bring_the_lineage_itself_where_it_is_the_runs_own(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        async def loaded(org: str, run: str, day: str) -> Any:
            own = LINEAGE.format(org=org, run=run)
            sql = f"SELECT day, id, {own}, DATE '{day}' AS x_pipeline_run_date FROM {TABLE}"
            return await step(
                context, "generic.bq_execute", {"query": sql}, destination={"table": "acme_sums_daily_unified"}
            )

        assert (await loaded("acme", context.run_id, "2026-11-10"))["rows_written"] == 3
        for wrong, named in (
            (("globex", context.run_id, "2026-11-10"), "x_org_slug 'globex', this run has 'acme'"),
            (("acme", "run_0", "2026-11-10"), "x_run_id 'run_0'"),
            (("acme", context.run_id, "2026-11-11"), "x_pipeline_run_date 2026-11-11, which is not a day of this run"),
        ):
            with pytest.raises(StepFailed, match=named):
                await loaded(*wrong)

    run_scenario(tmp_path, scenario)


def test_a_statement_without_destination_changes_the_orgs_tables(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        config = {"sql": {"sql": f"DELETE FROM {TABLE} WHERE id = 2", "parameters": {}}}
        result = await step(context, "generic.bq_execute", config)
        return result["rows_written"], await rows(context, f"SELECT id FROM {TABLE}")

    assert run_scenario(tmp_path, scenario) == (2, [{"id": 1}])


def test_a_table_with_a_schema_file_that_is_not_there_yet_is_made_empty(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        assert await context.warehouse.columns("acme_sums_daily_unified") == ()
        deleted = await step(context, "generic.bq_execute", {"query": "DELETE FROM acme_sums_daily_unified WHERE TRUE"})
        assert deleted["rows_processed"] == 0
        with pytest.raises(StepFailed, match="no table"):
            await step(context, "generic.bq_execute", {"query": "DELETE FROM acme_nothing WHERE TRUE"})
        assert not await context.warehouse.columns("org_meta_dq_results")

    run_scenario(tmp_path, scenario)


def test_a_dry_run_names_the_tables_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        config = {"sql": f"DELETE FROM {TABLE} WHERE TRUE", "dry_run": True}
        result = await step(context, "generic.bq_execute", config)
        return result["dry_run"], await rows(context, f"SELECT COUNT(*) AS n FROM {TABLE}")

    assert run_scenario(tmp_path, scenario) == (True, [{"n": 3}])


def test_a_query_over_its_byte_cap_does_not_run(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        config = {"sql": f"SELECT * FROM {TABLE}", "maximum_bytes_billed": 1}
        await step(context, "generic.bq_execute", config, destination={"table": "acme_sums_daily_unified"})

    with pytest.raises(StepFailed, match="bytes"):
        run_scenario(tmp_path, scenario)


def test_the_transformer_takes_older_spellings(tmp_path: Path) -> None:
    async def scenario(context: WorldContext) -> Any:
        config = {
            "transformation": {"type": "sql_template", "sql": f"SELECT * EXCEPT (kind) FROM {TABLE} WHERE id = 1"}
        }
        destination = {"table": "acme_sums_daily_unified", "write_mode": "WRITE_APPEND", "schema_ref": "x.json"}
        config["transformation"]["sql"] = f"SELECT id, day, amount FROM {TABLE} WHERE id = 1"
        for _ in range(2):
            await step(context, "generic.local_bq_transformer", config, destination=destination)
        return await rows(context, "SELECT id FROM acme_sums_daily_unified")

    assert run_scenario(tmp_path, scenario) == [{"id": 1}, {"id": 1}]


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


@pytest.mark.parametrize(
    ("sql", "warned"),
    [
        (f"SELECT id FROM `{TABLE}`", True),
        (f"SELECT IF(COUNT(*) = 3, 1, ERROR('wrong')) AS fits FROM `{TABLE}`", False),
        (f"SELECT id FROM `{TABLE}` WHERE FALSE", False),
        (f"UPDATE `{TABLE}` SET kind = 'c' WHERE TRUE", False),
    ],
)
def test_rows_that_nothing_keeps_are_a_warning_of_the_run(tmp_path: Path, sql: str, warned: bool) -> None:
    async def scenario(context: WorldContext) -> Any:
        return await step(context, "generic.bq_execute", {"query": {"sql": sql, "parameters": {}}})

    warnings = run_scenario(tmp_path, scenario).get("warnings", [])
    assert ["kept nowhere" in each for each in warnings] == [True] * warned
