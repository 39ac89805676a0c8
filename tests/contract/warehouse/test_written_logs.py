"""Logs that procedures of an org write: kept, seen by the org alone, and apart from what the engine wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from convergence.config.files.schemas.folder import TableSchemas
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Parameter, ProcedureCall, Scope, Statement, Warehouse
from tests.contract.warehouse.routines import NOTES, SCOPE, a_routine
from tests.contract.warehouse.world import Body, a_lineage

SCHEMAS: Final = TableSchemas(Path(__file__).parents[3] / "configs")
STEPS, RUNS = SCHEMAS.get("org_meta_step_logs"), SCHEMAS.get("org_meta_pipeline_runs")
OTHER: Final = Scope(
    dataset="globex_prod", writable=True, lineage=a_lineage(org_slug="globex", pipeline_id="p", run_id="r9")
)
# What teams write around their work: a row that says it began, the same row at its end, a row of the failure.
USUAL: Final = """
  DECLARE v_rows INT64;
  INSERT INTO `{project_id}.organizations.org_meta_step_logs` (run_id, step_id, status, event_time)
  VALUES (p_run, 'work', 'started', CURRENT_TIMESTAMP());
  BEGIN TRANSACTION;
  INSERT INTO notes (note, x_pipeline_run_date) VALUES ('done', DATE '2026-01-01');
  SET v_rows = CAST(CAST(p_figure AS INT64) AS INT64);
  COMMIT TRANSACTION;
  EXECUTE IMMEDIATE FORMAT(\"\"\"
    UPDATE `%s.organizations.org_meta_step_logs` SET status = 'completed', rows_written = @n
    WHERE org_meta_step_logs.run_id = @run AND step_id = 'work'
  \"\"\", @@project_id) USING v_rows AS n, p_run AS run;
  EXCEPTION WHEN ERROR THEN
    ROLLBACK TRANSACTION;
    INSERT INTO organizations.org_meta_step_logs (run_id, step_id, status, error, event_time)
    VALUES (p_run, 'work', 'failed', @@error.message, CURRENT_TIMESTAMP());
    RAISE USING MESSAGE = 'the work failed';
"""
ARGUMENTS: Final = "p_run STRING, p_figure STRING"


async def prepare(warehouse: Warehouse) -> None:
    """Make the logs with one row of the engine for each org."""
    for org in ("acme", "globex"):
        await warehouse.ensure_table(f"{org}_prod", NOTES)
        for log in (STEPS, RUNS):
            assert log.written is not None
            await warehouse.ensure_table(f"{org}_prod", log.written)
        at = datetime(2026, 3, 1, tzinfo=UTC)
        row = {"event_id": org, "event_time": at, "run_id": "r0", "step_id": "load", "status": "completed"}
        lineage = {"x_org_slug": org, "x_pipeline_id": "p", "x_credential_id": "", "x_run_id": "r0"}
        dates = {"x_pipeline_run_date": at.date(), "x_ingested_at": at, "x_ingestion_date": at.date()}
        await warehouse.append("organizations", STEPS, [{**row, **lineage, **dates}], ids=[org])
    await warehouse.ensure_table("organizations", RUNS)
    await warehouse.sync_routines([a_routine(USUAL, arguments=ARGUMENTS)])


async def call(warehouse: Warehouse, run: str, figure: str) -> None:
    arguments = {"p_run": Parameter("STRING", run), "p_figure": Parameter("STRING", figure)}
    await warehouse.call(ProcedureCall("sp_fill", arguments, scope=SCOPE, job_id=f"job_{run}", repeatable=True))


async def log_of(warehouse: Warehouse, scope: Scope) -> list[tuple[Any, ...]]:
    sql = (
        "SELECT run_id, step_id, status, rows_written, x_org_slug FROM organizations.org_meta_step_logs"
        " ORDER BY run_id, status"
    )
    return [tuple(row.values()) for row in (await warehouse.query(Statement(sql, scope=scope))).rows]


def test_a_procedure_keeps_its_log_and_only_its_org_sees_it(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        await call(warehouse, "r1", "7")
        with pytest.raises(StepFailed, match="the work failed"):
            await call(warehouse, "r2", "no number")
        engine = ("r0", "load", "completed", None, "acme")
        assert await log_of(warehouse, SCOPE) == [
            engine,
            ("r1", "work", "completed", 7, "acme"),
            ("r2", "work", "failed", None, "acme"),
            ("r2", "work", "started", None, "acme"),
        ]
        assert await log_of(warehouse, OTHER) == [("r0", "load", "completed", None, "globex")]
        notes = await warehouse.query(Statement("SELECT COUNT(*) AS n FROM notes", scope=SCOPE))
        assert notes.rows == [{"n": 1}]

    run(body)


def test_what_runs_write_has_their_lineage_and_the_day_they_wrote_it(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        sql = "INSERT INTO organizations.org_meta_pipeline_runs (run_id, status) VALUES ('own', 'completed')"
        done = await warehouse.query(Statement(sql, scope=SCOPE, job_id="j1"))
        assert done.rows_affected == 1
        sql = (
            "SELECT r.run_id, r.x_org_slug, r.x_pipeline_id, r.x_run_id, r.x_pipeline_run_date"
            " FROM organizations.org_meta_pipeline_runs AS r"
        )
        found = await warehouse.query(Statement(sql, scope=SCOPE))
        assert [tuple(row.values()) for row in found.rows] == [("own", "acme", "acme-p", "r1", date(2026, 3, 1))]
        assert not (await warehouse.query(Statement(sql, scope=OTHER))).rows

    run(body)


def test_a_check_that_a_procedure_notes_belongs_to_its_day_and_org(run: Callable[[Body], None]) -> None:
    values = "'mine', 'custom_sql', 'notes', 'load', 'passed', 'warn', 1, 0, CURRENT_TIMESTAMP()"
    columns = "check_name, check_type, table_name, step_id, status, on_fail, rows_checked, rows_failed, checked_at"
    noted = f"INSERT INTO organizations.org_meta_dq_results ({columns}) VALUES ({values});"
    dated = noted.replace("checked_at)", "checked_at, x_pipeline_run_date)").replace("());", "(), DATE '2026-01-01');")

    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        await warehouse.ensure_table("acme_prod", SCHEMAS.get("org_meta_dq_results"))
        await warehouse.sync_routines(
            [a_routine(f"{noted}\nBEGIN TRANSACTION;\n{dated}\nCOMMIT TRANSACTION;", digest="2")]
        )
        await warehouse.call(ProcedureCall("sp_fill", scope=SCOPE, job_id="j1"))
        sql = "SELECT x_pipeline_run_date, x_org_slug, x_run_id FROM org_meta_dq_results ORDER BY 1"
        rows = [tuple(row.values()) for row in (await warehouse.query(Statement(sql, scope=SCOPE))).rows]
        assert rows == [(date(2026, 1, 1), "acme", "r1"), (date(2026, 3, 1), "acme", "r1")]

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE organizations.org_meta_step_logs SET status = 'mine' WHERE TRUE",
        "DELETE FROM organizations.org_meta_step_logs AS l WHERE l.step_id = 'load'",
        "MERGE INTO organizations.org_meta_step_logs USING (SELECT 'r0' AS id) AS s"
        " ON org_meta_step_logs.run_id = s.id WHEN MATCHED THEN DELETE",
    ],
)
def test_rows_of_the_engine_stay(run: Callable[[Body], None], sql: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        before = await log_of(warehouse, SCOPE)
        done = await warehouse.query(Statement(sql, scope=SCOPE, job_id="j1"))
        assert done.rows_affected == 0
        assert await log_of(warehouse, SCOPE) == before

    run(body)


def test_a_row_of_another_org_is_refused(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        sql = "INSERT INTO organizations.org_meta_step_logs (run_id, x_org_slug) VALUES ('r1', 'globex')"
        with pytest.raises(StepFailed, match="1 rows have an x_org_slug other than 'acme'"):
            await warehouse.query(Statement(sql, scope=SCOPE, job_id="j1"))
        await warehouse.sync_routines([a_routine(f"{sql};", digest="2")])
        with pytest.raises(StepFailed, match="1 rows have an x_org_slug other than 'acme'"):
            await warehouse.call(ProcedureCall("sp_fill", scope=SCOPE, job_id="j2"))
        for scope in (SCOPE, OTHER):
            assert len(await log_of(warehouse, scope)) == 1

    run(body)


def test_the_audit_log_is_read_only(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        sql = "INSERT INTO organizations.org_audit_logs (action) VALUES ('x')"
        with pytest.raises(Denied, match=r"org_audit_logs cannot be written by a run.*org_meta_step_logs"):
            await warehouse.query(Statement(sql, scope=SCOPE, job_id="j1"))
        sql = "INSERT INTO organizations.org_meta_step_logs (run_id) VALUES ('x')"
        with pytest.raises(Denied):
            await warehouse.query(Statement(sql, scope=replace(SCOPE, writable=False)))

    run(body)
