"""Stored procedures through the port: kept, called once, lineage filled in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import ConfigErrors, Denied, NotFound, StepFailed
from convergence.ports.warehouse import Parameter, ProcedureCall, Statement, Warehouse
from tests.contract.warehouse.routines import INSERT, NOW, SCOPE, a_routine
from tests.contract.warehouse.world import Body


@pytest.fixture
def run(run: Callable[[Body], None], tmp_path: Path) -> Callable[[Body], None]:
    """Run a body where the table `cost` is."""
    path = tmp_path / "cost.json"
    path.write_text('[{"name": "day", "type": "DATE"}, {"name": "cost", "type": "NUMERIC"}]')
    table = load_table_schema(path)

    def with_table(body: Body) -> None:
        async def main(warehouse: Warehouse) -> None:
            await warehouse.ensure_table("acme_prod", table)
            await body(warehouse)

        run(main)

    return with_table


def test_lineage_that_a_procedure_leaves_out_is_filled_from_the_run(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(INSERT)])
        result = await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))
        assert (result.rows_affected, result.tables) == (1, ("acme_prod.cost",))
        lineage = "x_org_slug, x_pipeline_id, x_credential_id, x_run_id, x_ingested_at, x_ingestion_date"
        [row] = (await warehouse.query(Statement(f"SELECT {lineage} FROM cost", scope=SCOPE))).rows
        assert list(row.values()) == ["acme", "acme-p", "c1", "r1", NOW, NOW.date()]

    run(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            INSERT.replace(", x_p", ", x_run_id, x_org_slug, x_p").replace("2, ", "2, 'r1', 'beta', "),
            "x_org_slug other than",
        ),
        (
            INSERT.replace(", x_p", ", x_run_id, x_org_slug, x_p").replace("2, ", "2, 'of-another-run', 'beta', "),
            "1 rows have an x_org_slug other than 'acme'",
        ),
        ("INSERT INTO cost (day, cost) VALUES (DATE '2026-01-01', 2);", "1 rows have no x_pipeline_run_date"),
    ],
)
def test_rows_that_contradict_the_run_are_refused_and_nothing_is_written(
    run: Callable[[Body], None], body: str, message: str
) -> None:
    async def check(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(body)])
        with pytest.raises(StepFailed, match=message):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))
        assert (await warehouse.query(Statement("SELECT * FROM cost", scope=SCOPE))).rows == []

    run(check)


def test_a_query_that_writes_fills_lineage_too(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.query(Statement(INSERT, scope=SCOPE, job_id="j1"))
        assert (await warehouse.query(Statement("SELECT x_run_id FROM cost", scope=SCOPE))).rows == [{"x_run_id": "r1"}]

    run(body)


def test_a_procedure_sees_only_what_its_caller_may(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_dataset("beta_prod")
        await warehouse.sync_routines([a_routine("SELECT * FROM beta_prod.cost;")])
        with pytest.raises(Denied, match=r"beta_prod\.cost is outside"):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))
        await warehouse.sync_routines([a_routine("EXECUTE IMMEDIATE 'DELETE FROM ' || t || ' WHERE TRUE';",
                                                 arguments="t STRING", digest="2")])  # fmt: skip
        with pytest.raises(Denied):
            await warehouse.call(
                ProcedureCall("sp_fill", {"t": Parameter("STRING", "beta_prod.cost")}, scope=SCOPE, job_id="j2")
            )

    run(body)


def test_only_changed_routines_are_replaced_unless_forced(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        one, two = a_routine("SELECT 1;", name="sp_one"), a_routine("SELECT 2;", name="sp_two")
        assert await warehouse.sync_routines([one, two]) == ["sp_one", "sp_two"]
        changed = replace(two, digest="2", definition=two.definition.replace("SELECT 2", "SELECT 3"))
        assert await warehouse.sync_routines([one, changed]) == ["sp_two"]
        assert await warehouse.sync_routines([one, changed], force=True) == ["sp_one", "sp_two"]
        assert await warehouse.list_routines() == [one, changed]
        assert (await warehouse.call(ProcedureCall("sp_two", {}, scope=SCOPE, job_id="j1"))).rows == [{"f0_": 3}]

    run(body)


def test_one_wrong_routine_keeps_all_from_being_replaced(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        wrong = [a_routine("SELECT NOPE(1);", name="sp_a"), a_routine("IF TRUE;", name="sp_b"), a_routine("SELECT 1;")]
        with pytest.raises(ConfigErrors) as caught:
            await warehouse.sync_routines(wrong)
        assert [problem.where for problem in caught.value.problems] == [
            "procedures/sp_a.sql:3:1",
            "procedures/sp_b.sql:3:8",
        ]
        assert await warehouse.list_routines() == []

    run(body)


def test_a_routine_is_deleted_by_name(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine("SELECT 1;")])
        await warehouse.delete_routine("sp_fill")
        assert await warehouse.list_routines() == []
        with pytest.raises(NotFound, match="No procedure is called 'sp_fill'"):
            await warehouse.delete_routine("sp_fill")

    run(body)


def test_a_dry_run_of_a_call_checks_names_and_runs_nothing(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines(
            [a_routine(INSERT + "\nSELECT SUM(cost) FROM cost WHERE day > p_day;", arguments="p_day DATE")]
        )
        day = {"p_day": Parameter("DATE", date(2026, 1, 1))}
        result = await warehouse.call(ProcedureCall("sp_fill", day, scope=SCOPE, job_id="j1", dry_run=True))
        assert result.tables == ("acme_prod.cost",)
        assert result.bytes_processed is not None
        assert (await warehouse.query(Statement("SELECT * FROM cost", scope=SCOPE))).rows == []
        await warehouse.sync_routines([a_routine("SELECT 1;\nSELECT cst FROM cost;", digest="2")])
        with pytest.raises(StepFailed, match=r"sp_fill\.sql:4:1: There is no column 'cst'\. Did you mean 'cost'"):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1", dry_run=True))

    run(body)


def test_one_routine_is_read_by_name_and_a_wrong_name_gets_the_nearest(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine("SELECT 1;")])
        assert await warehouse.get_routine("sp_fill") == a_routine("SELECT 1;")
        for wrong in ("sp_fil", "sp_filll", "p_fill"):
            with pytest.raises(NotFound, match=rf"No procedure is called '{wrong}'\. Did you mean 'sp_fill'"):
                await warehouse.get_routine(wrong)
        with pytest.raises(NotFound, match="Did you mean 'sp_fill'"):
            await warehouse.delete_routine("sp_fil")

    run(body)


@pytest.mark.parametrize(
    ("statements", "affected"),
    [
        (INSERT, 1),
        (INSERT + "UPDATE cost SET cost = cost + 1 WHERE TRUE;", 2),
        (INSERT + "DELETE FROM cost WHERE TRUE;", 1),
        (INSERT + "TRUNCATE TABLE cost;", 1),
        ("DELETE FROM cost WHERE TRUE; CREATE TEMP TABLE t AS SELECT 1 AS a;", 0),
    ],
)
def test_a_call_counts_the_rows_it_inserted_and_updated_but_none_that_it_deleted(
    run: Callable[[Body], None], statements: str, affected: int
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(statements)])
        assert (await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))).rows_affected == affected

    run(body)


@pytest.mark.endless
def test_an_endless_loop_that_is_cancelled_leaves_nothing_and_the_next_call_runs(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        endless = f"{INSERT}\nLOOP\n  UPDATE cost SET cost = cost + 1 WHERE TRUE;\nEND LOOP;"
        await warehouse.sync_routines([a_routine(endless), a_routine(INSERT, name="sp_once")])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1")), 0.3)
        assert (await warehouse.call(ProcedureCall("sp_once", {}, scope=SCOPE, job_id="j2"))).rows_affected == 1
        assert (await warehouse.query(Statement("SELECT cost FROM cost", scope=SCOPE))).rows == [{"cost": 2}]

    run(body)


def test_a_failing_assert_says_which_and_rolls_the_call_back(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        checks = "ASSERT TRUE AS 'fine';\nASSERT (SELECT MAX(cost) FROM cost) < 1 AS 'costs are below 1';"
        await warehouse.sync_routines([a_routine(f"{INSERT}\n{checks}")])
        with pytest.raises(StepFailed, match=r"procedures/sp_fill\.sql:.* costs are below 1"):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))
        assert (await warehouse.query(Statement("SELECT * FROM cost", scope=SCOPE))).rows == []

    run(body)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT cst FROM cost;", r"sp_fill\.sql.*There is no column 'cst'\. Did you mean 'cost'"),
        ("INSERT INTO costs (cost) VALUES (1);", r"sp_fill\.sql.*There is no table acme_prod\.costs\. Did you mean"),
    ],
)
def test_a_missing_name_comes_with_its_file_and_the_nearest(
    run: Callable[[Body], None], statement: str, message: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(statement)])
        with pytest.raises(StepFailed, match=message):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))

    run(body)


@pytest.mark.parametrize(
    "path", ["`other-project.organizations`.sp_fill", "beta_prod.sp_fill", "demo2.organizations.sp_fill"]
)
def test_a_call_of_a_procedure_elsewhere_is_denied(run: Callable[[Body], None], path: str) -> None:
    """Only the text of the one in `organizations` is known: another of the same name could do anything."""

    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(INSERT), a_routine(f"CALL {path}();", name="sp_outer")])
        for dry_run in (True, False):
            with pytest.raises(Denied, match="cannot be called"):
                await warehouse.call(ProcedureCall("sp_outer", {}, scope=SCOPE, job_id="j1", dry_run=dry_run))
        with pytest.raises(Denied, match="cannot be called"):
            await warehouse.call(ProcedureCall(path.replace("`", ""), {}, scope=SCOPE, job_id="j2"))
        assert (await warehouse.query(Statement("SELECT COUNT(*) AS n FROM cost", scope=SCOPE))).rows == [{"n": 0}]

    run(body)
