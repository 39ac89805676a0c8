"""`generic.bq_execute`, `generic.local_bq_transformer` and `generic.dq_check` on the real local warehouse."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from tests.unit.processors.sql_world import DAY, TABLE, rows, run_scenario, step
from tests.unit.processors.step_world import WorldContext


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
    assert ["not stored" in each for each in warnings] == [True] * warned
