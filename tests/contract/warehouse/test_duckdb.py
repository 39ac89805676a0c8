"""What only the embedded warehouse promises: places in files, one writer at a time, estimates, big stages in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.adapters.local.warehouse.session import GROUP_ROWS
from convergence.config.files.schemas.fields import with_lineage
from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import ConfigErrors, SchemaMismatch, StepFailed
from convergence.ports.warehouse import Column, ProcedureCall, Statement, TableSchema, Warehouse, WriteMode
from tests.contract.warehouse.migrations import FIRST, a_migration, columns
from tests.contract.warehouse.routines import INSERT, SCOPE, a_routine
from tests.contract.warehouse.world import READ, WRITE, Body, StoppedClock, a_load, load, rows_of

MERGE = """
MERGE cost AS t
USING (SELECT DATE '2026-01-01' AS day, 3 AS cost UNION ALL SELECT DATE '2026-01-03', 4) AS s ON t.day = s.day
WHEN MATCHED THEN UPDATE SET cost = s.cost
WHEN NOT MATCHED THEN INSERT (day, cost, x_pipeline_run_date) VALUES (s.day, s.cost, s.day)
WHEN NOT MATCHED BY SOURCE THEN DELETE;
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Body], None]:
    """Run a test's body against a fresh DuckDB, with the table `cost` in it."""
    path = tmp_path / "cost.json"
    path.write_text('[{"name": "day", "type": "DATE"}, {"name": "cost", "type": "NUMERIC"}]')
    table = load_table_schema(path)

    async def main(body: Body) -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=StoppedClock(), project="demo")
        try:
            await warehouse.ensure_table("acme_prod", table)
            await body(warehouse)
        finally:
            warehouse.close()

    return lambda body: asyncio.run(main(body))


def parts_of(count: int, size: int = 1_000) -> list[list[dict[str, Any]]]:
    return [[{"id": part * size + number, "cost": "0.1"} for number in range(size)] for part in range(count)]


@pytest.mark.parametrize("mode", [WriteMode.OVERWRITE, WriteMode.MERGE])
def test_many_parts_arrive_whole_also_when_some_are_written_again(
    run: Callable[[Body], None], usage: TableSchema, mode: WriteMode
) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", usage, "s")
        for part, rows in enumerate(parts_of(45)):
            await stage.write(part, rows)
            await asyncio.sleep(0)
        await stage.write(3, [{"id": 999_999, "cost": "5"}])
        for part, rows in enumerate(parts_of(22), 45):
            await stage.write(part, [row | {"id": row["id"] + 100_000} for row in rows])
        await warehouse.load(a_load(usage, mode=mode, key_fields=("id",)), stage)
        found = await rows_of(warehouse, "SELECT COUNT(*), COUNT(DISTINCT id), SUM(cost) FROM usage")
        assert found == [(66_001, 66_001, Decimal(6605))]

    run(body)


def test_a_wrong_value_among_many_parts_is_found_by_its_number(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", usage, "s")
        for part, rows in enumerate(parts_of(30)):
            await stage.write(part, rows if part != 7 else [*rows[:500], {"id": 1, "cost": "free"}, *rows[501:]])
        with pytest.raises(SchemaMismatch, match=r"row 7501: column 'cost' must be NUMERIC, got text \('free'\)"):
            await warehouse.load(a_load(usage), stage)

    run(body)


def test_two_writers_of_one_table_wait_for_each_other(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 0}])
        add = "UPDATE usage SET id = id + 1 WHERE TRUE"
        await asyncio.gather(*(warehouse.query(Statement(add, scope=WRITE)) for _ in range(20)))
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(20,)]

    run(body)


def test_bytes_are_estimated_and_bounded(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(100)])
        result = await warehouse.query(Statement("DELETE FROM usage WHERE id > 3", scope=WRITE, dry_run=True))
        assert result.tables == ("acme_prod.usage",)
        assert (result.bytes_processed or 0) >= 800
        with pytest.raises(StepFailed, match="its limit is 10"):
            await warehouse.query(Statement("SELECT * FROM usage", scope=READ, bytes_max=10))
        assert await rows_of(warehouse, "SELECT COUNT(*) FROM usage") == [(100,)]

    run(body)


def test_two_calls_on_one_table_wait_for_each_other(run: Callable[[Body], None]) -> None:
    again = "DECLARE n INT64; SET n = (SELECT COUNT(*) FROM cost);\n" + INSERT.replace("2, ", "n, ")

    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(again)])
        await asyncio.gather(
            *(warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id=f"j{n}")) for n in range(10))
        )
        found = await warehouse.query(Statement("SELECT cost FROM cost ORDER BY cost", scope=SCOPE))
        assert [row["cost"] for row in found.rows] == list(range(10))

    run(body)


def test_a_failing_assert_says_which_and_rolls_the_call_back(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        checks = "ASSERT TRUE AS 'fine';\nASSERT (SELECT MAX(cost) FROM cost) < 1 AS 'costs are below 1';"
        await warehouse.sync_routines([a_routine(f"{INSERT}\n{checks}")])
        with pytest.raises(StepFailed, match=r"procedures/sp_fill\.sql:5:1: costs are below 1"):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))
        assert (await warehouse.query(Statement("SELECT * FROM cost", scope=SCOPE))).rows == []

    run(body)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT cst FROM cost;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("SELECT SUM(cst) / 2 FROM cost;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("SELECT cost FROM costs;", r"sp_fill\.sql:3:1: There is no table acme_prod\.costs\. Did you mean 'cost'"),
        ("UPDATE cost SET cst = 1 WHERE TRUE;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("INSERT INTO cost (cst) VALUES (1);", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        (
            "INSERT INTO costs (cost) VALUES (1);",
            r"sp_fill\.sql:3:1: There is no table acme_prod\.costs\. Did you mean",
        ),
        ("DELETE FROM cost WHERE cst = 1;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        (MERGE.replace("SET cost", "SET cst"), r"sp_fill\.sql:\d:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("ALTER TABLE cost DROP COLUMN cst;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("ALTER TABLE cost RENAME COLUMN cst TO c;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean"),
        ("SELECT c.cst FROM cost AS c;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        ("SELECT * EXCEPT (cst) FROM cost;", r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'"),
        (
            "EXECUTE IMMEDIATE 'SELECT cst FROM cost';",
            r"sp_fill\.sql:3:1: There is no column 'cst'\. Did you mean 'cost'",
        ),
    ],
)
def test_a_missing_name_comes_with_file_line_and_the_nearest(
    run: Callable[[Body], None], statement: str, message: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.sync_routines([a_routine(statement)])
        with pytest.raises(StepFailed, match=message):
            await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))

    run(body)


@pytest.mark.parametrize(
    ("text", "where", "token"),
    [
        ("IF x THEN SELECT 1; END;", "3:21", "found 'END'"),
        ("DECLARE 5 INT64;", "3:9", "found '5'"),
        ("SELECT 1 SELECT 2;", "3:1", "'SELECT'"),
        ("SELECT 'it''s', 'it;", "3:17", 'begins with "\'it;" is not closed'),
        ("-- it's\n/* begin", "4:1", "begins with '/* begin' is not closed"),
        ("SELECT (1;", "3:1", "syntax error"),
        ("SET a 5;", "3:7", "found '5'"),
    ],
)
def test_a_syntax_error_says_file_line_column_and_token(
    run: Callable[[Body], None], text: str, where: str, token: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(ConfigErrors) as caught:
            await warehouse.sync_routines([a_routine(text)])
        [problem] = caught.value.problems
        assert problem.where is not None
        assert problem.where.startswith(f"procedures/sp_fill.sql:{where}")
        assert token in str(problem)

    run(body)


def test_a_failing_migration_leaves_nothing_and_can_be_mended(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        broken = a_migration("002_more", "ALTER TABLE prices ADD COLUMN more STRING; ASSERT FALSE AS 'not yet';")
        with pytest.raises(StepFailed, match=r"002_more\.sql:1:44: not yet"):
            await warehouse.migrate([FIRST, broken], dataset="org_prod")
        assert await columns(warehouse) == ["model", "price"]
        mended = a_migration("002_more", "ALTER TABLE prices ADD COLUMN more STRING;")
        assert await warehouse.migrate([FIRST, mended], dataset="org_prod") == ["002_more"]

    run(body)


def test_row_count_is_all_that_a_merge_changed(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        both = INSERT + INSERT.replace("2026-01-01", "2026-01-02")
        await warehouse.sync_routines([a_routine(both + MERGE + "SELECT @@row_count AS n;")])
        assert (await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))).rows == [{"n": 3}]

    run(body)


def test_a_row_that_a_merge_deletes_is_not_counted(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        both = INSERT + INSERT.replace("2026-01-01", "2026-01-02")
        await warehouse.sync_routines([a_routine(both + MERGE)])
        assert (await warehouse.call(ProcedureCall("sp_fill", {}, scope=SCOPE, job_id="j1"))).rows_affected == 4

    run(body)


def test_a_column_that_is_no_longer_required_lets_rows_be_null(run: Callable[[Body], None], tmp_path: Path) -> None:
    text = '[{"name": "amount", "type": "NUMERIC", "mode": "MODE"}, {"name": "day", "type": "DATE"}]'
    tables = []
    for mode in ("REQUIRED", "NULLABLE"):
        path = tmp_path / mode / "relaxed.json"
        path.parent.mkdir()
        path.write_text(text.replace("MODE", mode))
        tables.append(load_table_schema(path))

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, tables[0], [{"amount": 1}])
        await load(warehouse, tables[1], [{"amount": None}], job_id="j2", mode=WriteMode.APPEND)
        assert await rows_of(warehouse, "SELECT amount FROM relaxed ORDER BY amount") == [(None,), (Decimal(1),)]

    run(body)


# The stand-in for BigQuery reads one clause in an ALTER, and no backticks there: the text is tried here only.
ALTERED = a_migration(
    "002_altered",
    "ALTER TABLE `{project}.{dataset}.prices`\n"
    "  RENAME COLUMN model TO listed_model, RENAME COLUMN price TO list_price;\n"
    "ALTER TABLE `{dataset_id}.prices`\n"
    "  ADD COLUMN IF NOT EXISTS tags ARRAY<STRUCT<name STRING, value STRING>> OPTIONS (description = 'a, b'),\n"
    "  ADD COLUMN gone STRING, ADD COLUMN units INT64;\n"
    "ALTER TABLE prices DROP COLUMN gone, DROP COLUMN IF EXISTS never;\n"
    "ALTER TABLE prices ALTER COLUMN list_price SET OPTIONS (description = 'per unit'),\n"
    "  ALTER COLUMN units SET DATA TYPE NUMERIC;\n"
    "ALTER TABLE prices ALTER COLUMN listed_model SET OPTIONS (description = 'as published');",
)


def test_one_statement_may_alter_a_table_in_several_ways(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        assert await warehouse.migrate([FIRST, ALTERED], dataset="org_prod") == ["001_prices", "002_altered"]
        assert await columns(warehouse) == ["listed_model", "list_price", "tags", "units"]

    run(body)


def bounded_table(folder: Path, bounds: str = "") -> TableSchema:
    path = folder / f"schemas{len(bounds)}" / "bounded.json"
    path.parent.mkdir()
    path.write_text(f'[{{"name": "id", "type": "INT64"}}, {{"name": "cost", "type": "NUMERIC"{bounds}}}]')
    return load_table_schema(path)


def test_bounds_of_a_table_hold_for_loads_and_sql_that_do_not_know_them(
    run: Callable[[Body], None], tmp_path: Path
) -> None:
    """The stand-in of BigQuery has no such bounds; BigQuery itself has."""
    bounded, plain = bounded_table(tmp_path, ', "precision": "6", "scale": "2"'), bounded_table(tmp_path)

    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", bounded)
        await load(warehouse, plain, [{"id": 1, "cost": "1.235"}])
        text = "INSERT INTO bounded (id, cost, x_org_slug) VALUES (2, -1.235, 'acme')"
        await warehouse.query(Statement(text, scope=WRITE))
        stored = [(1, Decimal("1.24")), (2, Decimal("-1.24"))]
        assert await rows_of(warehouse, "SELECT id, cost FROM bounded ORDER BY id") == stored
        for mode in (WriteMode.APPEND, WriteMode.OVERWRITE):
            with pytest.raises((StepFailed, SchemaMismatch), match=r"too long for the column cost NUMERIC\(6, 2\)"):
                await load(warehouse, plain, [{"id": 1, "cost": "12345"}], job_id=f"j{mode}", mode=mode)
        assert await rows_of(warehouse, "SELECT id, cost FROM bounded ORDER BY id") == stored
        [cost] = [each for each in await warehouse.columns("acme_prod", "bounded") if each.name == "cost"]
        assert (cost.type, cost.bounds, cost.description) == ("NUMERIC", (6, 2), "")

    run(body)


def test_tables_store_rows_in_small_groups(run: Callable[[Body], None], tmp_path: Path) -> None:
    """DuckDB's own groups do not fit into the memory that a warehouse may use: an insert copies them twice."""
    plain = bounded_table(tmp_path)

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, plain, ({"id": number} for number in range(2 * GROUP_ROWS + 1)))

    run(body)
    with duckdb.connect(str(tmp_path / "w.duckdb")) as database:
        groups = database.execute(
            "SELECT DISTINCT row_group_id FROM pragma_storage_info('acme_prod.bounded') ORDER BY 1"
        ).fetchall()
    assert [group for (group,) in groups] == [0, 1, 2]


@pytest.mark.parametrize("odd", ["NaN", "[1,]", '{"a": -inf}', '{"a": 1e400}'])
def test_a_text_that_is_not_json_does_not_fit_a_json_column(run: Callable[[Body], None], a_file: Any, odd: str) -> None:
    table = TableSchema("odd", with_lineage((Column("id", "INT64"), Column("data", "JSON"))))
    good = '{""a"": [""NaN, inf,]"", ""b"", 1.5e10, null]}'
    text = 'id,data\n1,"' + good + '"\n2,"' + odd.replace('"', '""') + '"\n'
    file = a_file(text, rest="", optional=frozenset(), bad_rows="set_aside")

    async def body(warehouse: Warehouse) -> None:
        found = await warehouse.stage("acme_prod", table, "s").write_file(0, file)
        assert (found.rows, [bad.problems for bad in found.bad]) == (1, [{"data": f"is not JSON: {odd!r}"}])

    run(body)
