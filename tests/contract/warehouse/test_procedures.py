"""One text, two engines: procedures as their authors write them give equal rows embedded and on BigQuery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import Denied, PartlyCommitted, StepFailed
from convergence.ports.warehouse import Parameter, ProcedureCall, QueryResult, Routine, Scope, Statement, Warehouse
from tests.contract.warehouse.procedure_cases import (
    CASES,
    FOLDER,
    JAN_1,
    JAN_2,
    KINDS,
    NAMES,
    ORG,
    Case,
)
from tests.contract.warehouse.world import Body, a_lineage

SCOPE: Final = Scope(dataset="acme_prod", writable=True, lineage=a_lineage())
TABLES: Final = {
    "usage_raw": '[{"name": "day", "type": "DATE"}, {"name": "model", "type": "STRING"},'
    ' {"name": "tokens", "type": "INT64"}, {"name": "price", "type": "NUMERIC"}]',
    "cost_daily": '[{"name": "day", "type": "DATE"}, {"name": "model", "type": "STRING"},'
    ' {"name": "cost", "type": "NUMERIC"}, {"name": "note", "type": "STRING"}]',
    "run_log": '[{"name": "message", "type": "STRING"}]',
}
ROWS: Final = """INSERT INTO usage_raw (day, model, tokens, price, x_pipeline_run_date) VALUES
  (DATE '2026-01-01', 'a', 1000000, 2.5, DATE '2026-01-01'), (DATE '2026-01-01', 'b', 500000, 10, DATE '2026-01-01'),
  (DATE '2026-01-02', 'a', 300000, 2, DATE '2026-01-02'), (DATE '2026-01-03', 'c', 7, 100, DATE '2026-01-03')"""
COSTS: Final = """INSERT INTO cost_daily (day, model, cost, note, x_pipeline_run_date) VALUES
  (DATE '2026-01-01', 'a', 99, 'list', DATE '2026-01-01'), (DATE '2026-02-01', 'z', 1, 'old', DATE '2026-02-01')"""


@pytest.fixture
def run(run: Callable[[Body], None], tmp_path: Path) -> Callable[[Body], None]:
    """Run a body where the tables, their rows and all procedures are."""

    def with_procedures(body: Body) -> None:
        async def main(warehouse: Warehouse) -> None:
            for name, fields in TABLES.items():
                path = tmp_path / f"{name}.json"
                path.write_text(fields)
                await warehouse.ensure_table("acme_prod", load_table_schema(path))
            await warehouse.query(Statement(ROWS, scope=SCOPE))
            await warehouse.query(Statement(COSTS, scope=SCOPE))
            project = "CREATE PROCEDURE organizations.sp_project() BEGIN SELECT '`{project_id}`' AS project; END;"
            routines = [a_routine(path.read_text(), path.stem) for path in FOLDER.glob("*.sql")]
            await warehouse.sync_routines([*routines, a_routine(project, "sp_project")])
            await body(warehouse)

        run(main)

    return with_procedures


def a_routine(text: str, name: str) -> Routine:
    return Routine(name, str(len(text)), f"procedures/{name}.sql", text)


async def called(warehouse: Warehouse, name: str, arguments: dict[str, Any], **options: Any) -> QueryResult:
    asking = ProcedureCall("sp_project", {}, scope=SCOPE, job_id=f"project_{options.get('job_id', 'j1')}")
    project = str((await warehouse.call(asking)).rows[0]["project"]).strip("`")
    given = {
        key: Parameter(KINDS[type(value)], project if value == "PROJECT" else value) for key, value in arguments.items()
    }
    return await warehouse.call(ProcedureCall(name, given, scope=SCOPE, **{"job_id": "j1", **options}))


async def rows_of(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in (await warehouse.query(Statement(sql, scope=SCOPE))).rows]


async def log_of(warehouse: Warehouse) -> list[str]:
    return [message for (message,) in await rows_of(warehouse, "SELECT message FROM run_log ORDER BY message")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.procedure)
def test_a_procedure_gives_equal_rows_on_every_warehouse(run: Callable[[Body], None], case: Case) -> None:
    async def body(warehouse: Warehouse) -> None:
        result = await called(warehouse, case.procedure, case.arguments)
        assert result.rows == case.rows
        assert result.rows_affected == case.affected
        costs = "SELECT day, model, cost, note FROM cost_daily ORDER BY day, model, cost"
        assert await rows_of(warehouse, costs) == case.costs
        assert await log_of(warehouse) == list(case.log)
        for table in ("cost_daily", "run_log"):
            missing = f"SELECT COUNT(*) FROM {table} WHERE x_run_id IS NULL OR x_org_slug IS NULL"
            assert await rows_of(warehouse, missing) == [(0,)], f"{table}: lineage is filled in front of each COMMIT"
        effect = await warehouse.close_job("j1", scope=SCOPE)
        assert effect is not None
        assert not effect.partial
        assert (await called(warehouse, case.procedure, case.arguments)).rows == case.rows
        assert await log_of(warehouse) == list(case.log)

    run(body)


def test_a_procedure_that_fails_behind_a_commit_is_not_repeated_by_itself(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        failing = {**ORG, "p_fail": True}
        for _ in range(2):
            with pytest.raises(PartlyCommitted, match=r"sp_fails_late failed after 1 of its changes were committed"):
                await called(warehouse, "sp_fails_late", failing, job_id="j1")
            assert await log_of(warehouse) == ["first"]
        effect = await warehouse.close_job("j1", scope=SCOPE)
        assert effect is not None
        assert effect.partial
        with pytest.raises(StepFailed, match="the second half fails"):
            await called(warehouse, "sp_fails_late", failing, job_id="j2", repeatable=True)
        answer = await called(warehouse, "sp_fails_late", {**ORG, "p_fail": False}, job_id="j2", repeatable=True)
        assert answer.rows == [{"n": 4}]
        assert await log_of(warehouse) == ["first", "first", "first", "second"]

    run(body)


def test_a_procedure_that_fails_before_any_commit_may_be_sent_again(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        late = {**NAMES, "p_from": JAN_2, "p_to": JAN_1}
        with pytest.raises(StepFailed, match="p_from lies behind p_to") as caught:
            await called(warehouse, "sp_replace_days", late)
        assert not isinstance(caught.value, PartlyCommitted)
        again = await called(warehouse, "sp_replace_days", {**NAMES, "p_from": JAN_1, "p_to": JAN_2})
        assert again.rows == [{"rows_written": 3, "dataset": "acme_prod"}]

    run(body)


def test_rows_of_another_org_are_never_committed_whatever_a_handler_does(run: Callable[[Body], None]) -> None:
    text = """CREATE PROCEDURE organizations.sp_foreign() BEGIN
  BEGIN
    BEGIN TRANSACTION;
    INSERT INTO run_log (message, x_org_slug, x_run_id, x_pipeline_run_date)
    VALUES ('theirs', 'globex', 'r1', DATE '2026-01-01');
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    SELECT 'all is well' AS outcome;
  END;
END;"""

    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(text, "sp_foreign")])
        with pytest.raises(StepFailed, match="1 rows have an x_org_slug other than 'acme'"):
            await called(warehouse, "sp_foreign", {})
        assert await log_of(warehouse) == []

    run(body)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("DECLARE n INT64; SELECT 1 AS one; EXECUTE IMMEDIATE 'SELECT 2 AS two' INTO n;", [{"one": 1}]),
        ("SELECT 1 AS one; EXECUTE IMMEDIATE 'SELECT 2 AS two';", [{"two": 2}]),
        ("CREATE TEMP TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (2), (3); SELECT SUM(a) AS a FROM t;", [{"a": 6}]),
    ],
)
def test_the_answer_is_the_last_select_and_no_row_of_a_temporary_table_counts(
    run: Callable[[Body], None], text: str, answer: list[dict[str, Any]]
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines(
            [a_routine(f"CREATE PROCEDURE organizations.sp_own() BEGIN {text} END;", "sp_own")]
        )
        result = await called(warehouse, "sp_own", {})
        assert (result.rows, result.rows_affected) == (answer, 0)

    run(body)


REFUSED: Final = {
    "DECLARE v_t STRING;\nEXECUTE IMMEDIATE 'SELECT MAX(model) FROM usage_raw' INTO v_t;\n"
    "EXECUTE IMMEDIATE FORMAT('DELETE FROM %s WHERE TRUE', v_t);": (
        r"sp_own\.sql:5:1: 'v_t' \(it comes from a query at line 4\) is not known before the call"
    ),
    "EXECUTE IMMEDIATE FORMAT('SELECT * FROM `%s`.cost_daily', p_other);": (
        r"sp_own\.sql:3:1: globex_prod\.cost_daily is outside of what this statement may read"
    ),
    "EXECUTE IMMEDIATE FORMAT('DELETE FROM `%s`.cost_daily WHERE TRUE', p_cut);": (
        r"sp_own\.sql:3:1: EXECUTE IMMEDIATE runs one SQL statement"
    ),
    "CALL `other-project.globex_prod`.sp_figures('a', 'b');": r"sp_own\.sql:3:1: .*cannot be called",
    "CALL globex_prod.sp_figures('a', 'b');": r"sp_own\.sql:3:1: .*cannot be called",
    "EXECUTE IMMEDIATE 'GRANT `roles/x` ON SCHEMA acme_prod TO \"user:a@b\"';": r"sp_own\.sql:3:1: ",
    "EXECUTE IMMEDIATE 'CALL organizations.sp_swallow()';": r"3:1: EXECUTE IMMEDIATE runs one SQL statement",
    "BEGIN TRANSACTION;\nBEGIN TRANSACTION;": r"sp_own\.sql:4:1: BEGIN TRANSACTION inside a transaction",
    "COMMIT TRANSACTION;": r"sp_own\.sql:3:1: COMMIT TRANSACTION without a transaction",
    "BEGIN\nDECLARE p_cut STRING;\nEND;": r"sp_own\.sql:4:1: 'p_cut' is declared already",
    "CALL organizations.sp_own(p_other, p_cut);": r"CALL is nested deeper than 50",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_cannot_be_checked_is_refused_before_anything_runs(
    run: Callable[[Body], None], text: str, message: str
) -> None:
    first = "INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('ran', DATE '2026-01-01');"
    arguments = "p_other STRING, p_cut STRING"
    definition = f"CREATE PROCEDURE `{{project_id}}.organizations`.sp_own({arguments})\nBEGIN\n{text}\n{first}\nEND;"

    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_dataset("globex_prod")
        await warehouse.sync_routines([a_routine(definition, "sp_own")])
        given = {"p_other": "globex_prod", "p_cut": "acme_prod`.cost_daily WHERE TRUE; DELETE FROM `globex_prod"}
        for dry_run in (True, False):
            with pytest.raises((Denied, StepFailed), match=message):
                await called(warehouse, "sp_own", given, dry_run=dry_run)
        assert await log_of(warehouse) == []

    run(body)
