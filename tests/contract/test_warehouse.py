"""What every `Warehouse` promises. A second adapter joins with one parameter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse import DuckDbWarehouse
from convergence.config.table_schema import load_table_schema
from convergence.errors import Denied, InvalidInput, SchemaMismatch, StepFailed
from convergence.ports.warehouse import (
    Lineage,
    Load,
    LoadResult,
    Parameter,
    Scope,
    Stage,
    TableSchema,
    Warehouse,
    WriteMode,
)

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
JAN_1, JAN_2, JAN_3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
READ = Scope(dataset="acme_prod")
WRITE = Scope(dataset="acme_prod", writable=True)
FIELDS = """[
  {"name": "id", "type": "INT64", "mode": "REQUIRED"}, {"name": "day", "type": "DATE"},
  {"name": "at", "type": "TIMESTAMP"}, {"name": "cost", "type": "NUMERIC"}, {"name": "exact", "type": "BIGNUMERIC"},
  {"name": "share", "type": "FLOAT64"}, {"name": "open", "type": "BOOL"}, {"name": "note", "type": "STRING"},
  {"name": "raw", "type": "JSON"}, {"name": "data", "type": "BYTES"},
  {"name": "tags", "type": "RECORD", "mode": "REPEATED", "fields": [
    {"name": "key", "type": "STRING"}, {"name": "amount", "type": "NUMERIC"}]}
]"""


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@asynccontextmanager
async def duckdb_warehouse(folder: Path) -> AsyncIterator[Warehouse]:
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=StoppedClock(), project="demo")
    try:
        yield warehouse
    finally:
        warehouse.close()


Body = Callable[[Warehouse], Awaitable[None]]


@pytest.fixture(params=[pytest.param(duckdb_warehouse, id="local")])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Run a test's body against a fresh warehouse."""

    async def main(body: Body) -> None:
        async with request.param(tmp_path) as warehouse:
            await body(warehouse)

    return lambda body: asyncio.run(main(body))


@pytest.fixture
def usage(tmp_path: Path) -> TableSchema:
    path = tmp_path / "usage.json"
    path.write_text(FIELDS)
    return load_table_schema(path)


def a_lineage(**changes: Any) -> Lineage:
    values = {
        "org_slug": "acme",
        "pipeline_id": "acme-usage",
        "credential_id": "c1",
        "run_id": "r1",
        "ingested_at": NOW,
    }
    return Lineage(**(values | changes))


async def staged(warehouse: Warehouse, table: TableSchema, rows: Iterable[dict[str, Any]], name: str = "s") -> Stage:
    stage = warehouse.stage("acme_prod", table, name)
    await stage.write(0, list(rows))
    return stage


def a_load(table: TableSchema, **changes: Any) -> Load:
    values: dict[str, Any] = {
        "job_id": "j1",
        "dataset": "acme_prod",
        "table": table,
        "lineage": a_lineage(),
        "dates": (JAN_1,),
    }
    return Load(**(values | changes))


async def load(warehouse: Warehouse, table: TableSchema, rows: Iterable[dict[str, Any]], **changes: Any) -> LoadResult:
    name = str(changes.get("job_id", "j1"))
    return await warehouse.load(a_load(table, **changes), await staged(warehouse, table, rows, name))


async def write_and_load(warehouse: Warehouse, load: Load, stage: Stage, rows: list[dict[str, Any]]) -> None:
    await stage.write(1, rows)
    await warehouse.load(load, stage)


async def rows_of(warehouse: Warehouse, sql: str, **parameters: Parameter) -> list[tuple[Any, ...]]:
    result = await warehouse.query(sql, parameters, scope=READ)
    return [tuple(row.values()) for row in result.rows]


def test_loaded_rows_carry_the_seven_lineage_columns(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 7}])
        lineage = await rows_of(
            warehouse,
            "SELECT x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at,"
            " x_ingestion_date FROM usage",
        )
        assert lineage == [("acme", "acme-usage", "c1", JAN_1, "r1", NOW, date(2026, 3, 1))]

    run(body)


def test_every_value_comes_back_as_it_was_staged(run: Callable[[Body], None], usage: TableSchema) -> None:
    row = {
        "id": 2**63 - 1,
        "day": JAN_2,
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "cost": Decimal("12345678901234567890123456789.123456789"),
        "exact": Decimal("12345678901234567890.123456789012345678"),
        "share": 0.1,
        "open": True,
        "note": 'ü, "quoted", \n',
        "raw": {"b": [1, None]},
        "data": b"\x00\xff",
        "tags": [{"key": "env", "amount": Decimal("0.1")}],
    }

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [row])
        [found] = (await warehouse.query(f"SELECT {', '.join(row)} FROM usage", scope=READ)).rows
        assert found == row

    run(body)


def test_money_never_passes_through_a_float(run: Callable[[Body], None], usage: TableSchema) -> None:
    amounts = [0.1234567895, "0.1234567895", -0.0000000005, 1e-9, 123456.789012345, "79228162514264337593543950335.5"]
    wanted = [
        "0.123456790",
        "0.123456790",
        "-0.000000001",
        "0.000000001",
        "123456.789012345",
        "79228162514264337593543950335.5",
    ]

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number, "cost": amount} for number, amount in enumerate(amounts)])
        found = await rows_of(warehouse, "SELECT cost FROM usage ORDER BY id")
        assert [cost for (cost,) in found] == [Decimal(text) for text in wanted]

    run(body)


def test_a_load_replaces_each_date_and_empties_dates_without_rows(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    dates = (JAN_1, JAN_2)

    async def body(warehouse: Warehouse) -> None:
        first = [{"id": 1, "day": JAN_1}, {"id": 2, "day": JAN_2}, {"id": 3, "day": JAN_3}]
        await load(warehouse, usage, first, dates=(JAN_1, JAN_2, JAN_3), date_field="day")
        result = await load(warehouse, usage, [{"id": 9, "day": JAN_1}], job_id="j2", dates=dates, date_field="day")
        assert result == LoadResult(rows_loaded=1, rows_removed=2)
        assert await rows_of(warehouse, "SELECT id, x_pipeline_run_date FROM usage ORDER BY id") == [
            (3, JAN_3),
            (9, JAN_1),
        ]

    run(body)


def test_slices_of_other_pipelines_orgs_and_credentials_stay(run: Callable[[Body], None], usage: TableSchema) -> None:
    others = [a_lineage(org_slug="beta"), a_lineage(pipeline_id="other"), a_lineage(credential_id="c2")]

    async def body(warehouse: Warehouse) -> None:
        for number, lineage in enumerate(others):
            await load(warehouse, usage, [{"id": number}], job_id=f"o{number}", lineage=lineage)
        result = await load(warehouse, usage, [{"id": 9}])
        assert result.rows_removed == 0
        assert await rows_of(warehouse, "SELECT COUNT(*) FROM usage") == [(4,)]

    run(body)


def test_a_timestamp_belongs_to_its_date_in_utc(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        rows = [{"id": 1, "at": "2026-01-02T01:00:00+02:00"}]
        await load(warehouse, usage, rows, dates=(JAN_1,), date_field="at")
        assert await rows_of(warehouse, "SELECT x_pipeline_run_date FROM usage") == [(JAN_1,)]

    run(body)


def test_a_row_outside_of_the_dates_is_refused_by_number(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match=r"row 2: 'day' is 2026-01-03, which is not among the dates"):
            await load(warehouse, usage, [{"id": 1, "day": JAN_1}, {"id": 2, "day": JAN_3}], date_field="day")

    run(body)


def test_append_keeps_and_merge_replaces_rows_with_the_same_key(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1, "note": "old"}, {"id": 2, "note": "old"}])
        await load(warehouse, usage, [{"id": 3, "note": "added"}], job_id="j2", mode=WriteMode.APPEND)
        merged = [{"id": 2, "note": "early"}, {"id": 2, "note": "late"}, {"id": 4, "note": "new"}]
        result = await load(warehouse, usage, merged, job_id="j3", mode=WriteMode.MERGE, key_fields=("id",))
        assert result == LoadResult(rows_loaded=2, rows_removed=1)
        found = await rows_of(warehouse, "SELECT id, note FROM usage ORDER BY id")
        assert found == [(1, "old"), (2, "late"), (3, "added"), (4, "new")]

    run(body)


def test_a_reference_table_is_one_slice_over_all_dates(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        early = a_lineage(ingested_at=datetime(2026, 2, 1, tzinfo=UTC))
        await load(warehouse, usage, [{"id": 1}], dates=None, lineage=early)
        assert (await load(warehouse, usage, [{"id": 2}], job_id="j2", dates=None)).rows_removed == 1
        assert await rows_of(warehouse, "SELECT id, x_pipeline_run_date FROM usage") == [(2, date(2026, 3, 1))]

    run(body)


def test_a_known_job_changes_nothing_and_answers_as_the_first_time(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        assert await load(warehouse, usage, [{"id": 2}, {"id": 3}]) == LoadResult(1, 0, repeated=True)
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(1,)]

    run(body)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 2, "cost": "abc"}, r"row 3: column 'cost' wants NUMERIC, got text \('abc'\)"),
        ({"id": 1.5}, r"row 3: column 'id' wants INT64, got a number \(1.5\)"),
        ({"id": True}, r"row 3: column 'id' wants INT64, got a boolean"),
        ({"day": JAN_1}, r"row 3: column 'id' is REQUIRED, but has no value"),
        ({"id": 2, "day": "yesterday"}, r"row 3: column 'day' wants DATE, got text"),
        ({"id": 2, "cost": "1" + "0" * 29}, r"row 3: column 'cost' wants NUMERIC"),
        ({"id": 2, "tags": [{"key": "a", "amount": "x"}]}, r"row 3: column 'tags' wants ARRAY<STRUCT<key STRING"),
        ({"id": 2, "nots": "x"}, r"row 3 has a column 'nots' that the table has not. Did you mean 'note'\?"),
        ({"id": 2, "cost": float("nan")}, r"row 3: column 'cost' is nan, which is no number"),
        ({"id": 2, "note": None, "tags": [{"key": "a", "amount": float("-inf")}]}, r"row 3: column 'tags' is -inf"),
        ({"id": 2, "cost": Decimal("NaN")}, r"row 3: column 'cost' wants NUMERIC, got text \('NaN'\)"),
        ({"id": 2, "cost": Decimal("Infinity")}, r"row 3: column 'cost' wants NUMERIC, got text"),
        ({"id": 2, "x_run_id": "r9"}, r"row 3 has a column 'x_run_id'.*adds the lineage columns itself"),
    ],
)
def test_what_does_not_fit_is_refused_with_column_and_row_and_the_earlier_slice_stays(
    run: Callable[[Body], None], usage: TableSchema, row: dict[str, Any], message: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        stage = await staged(warehouse, usage, [{"id": 1}], "second")
        with pytest.raises(SchemaMismatch, match=message):
            await write_and_load(warehouse, a_load(usage, job_id="j2"), stage, [{"id": 1}, row])
        assert await rows_of(warehouse, "SELECT id, cost FROM usage") == [(1, None)]

    run(body)


def test_a_table_of_one_column_loads_from_many_parts(run: Callable[[Body], None], tmp_path: Path) -> None:
    (tmp_path / "single.json").write_text('[{"name": "name", "type": "STRING", "mode": "NULLABLE"}]')
    single = load_table_schema(tmp_path / "single.json")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", single, "s")
        for part in range(20):
            await stage.write(part, [{"name": f"{part}.{number}"} for number in range(100)])
        assert (await warehouse.load(a_load(single), stage)).rows_loaded == 2000

    run(body)


def test_parts_may_be_written_again_and_dropped_from_a_number_on(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = await staged(warehouse, usage, [{"id": 1}, {"id": 2}])
        await stage.write(1, [{"id": 3}])
        await stage.write(2, [{"id": 4}])
        await stage.write(0, [{"id": 5}])
        await stage.discard(from_part=2)
        result = await warehouse.load(a_load(usage), warehouse.stage("acme_prod", usage, "s"))
        assert result.rows_loaded == 2
        assert await rows_of(warehouse, "SELECT id FROM usage ORDER BY id") == [(3,), (5,)]

    run(body)


def test_a_load_that_contradicts_itself_is_refused(run: Callable[[Body], None], usage: TableSchema) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dates": (JAN_1, JAN_2)}, "needs date_field"),
        ({"mode": WriteMode.MERGE}, "needs key_fields"),
        ({"date_field": "dya"}, "no column 'dya'.*'day'"),
    ]

    async def body(warehouse: Warehouse) -> None:
        for changes, message in wrong:
            with pytest.raises(InvalidInput, match=message):
                await load(warehouse, usage, [{"id": 1}], **changes)

    run(body)


def test_a_table_gains_new_columns_but_never_another_type(
    run: Callable[[Body], None], usage: TableSchema, tmp_path: Path
) -> None:
    wider, other = tmp_path / "wider" / "usage.json", tmp_path / "other" / "usage.json"
    for path, text in (
        (wider, FIELDS[:-2] + ', {"name": "added", "type": "STRING"}]'),
        (other, FIELDS.replace("DATE", "STRING")),
    ):
        path.parent.mkdir()
        path.write_text(text)

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        await load(warehouse, load_table_schema(wider), [{"id": 2, "added": "x"}], job_id="j2", mode=WriteMode.APPEND)
        assert await rows_of(warehouse, "SELECT id, added FROM usage ORDER BY id") == [(1, None), (2, "x")]
        with pytest.raises(SchemaMismatch, match="column 'day' is STRING in the schema file, but DATE in the table"):
            await warehouse.ensure_table("acme_prod", load_table_schema(other))

    run(body)


def test_query_parameters_have_types_and_are_never_pasted(run: Callable[[Body], None], usage: TableSchema) -> None:
    parameters = {
        "Note": Parameter("STRING", "'; DROP TABLE usage; --"),
        "cost": Parameter("NUMERIC", Decimal("1.000000001")),
        "at": Parameter("TIMESTAMP", NOW),
        "days": Parameter("ARRAY<DATE>", [JAN_1, JAN_3]),
        "none": Parameter("INT64", None),
        "pair": Parameter("STRUCT<a INT64, b STRING>", {"a": 1, "b": "x"}),
    }

    async def body(warehouse: Warehouse) -> None:
        sql = "SELECT @note, @cost + @cost, @at, ARRAY_LENGTH(@days), @none, @pair.b"
        found = await rows_of(warehouse, sql, **parameters)
        assert found == [("'; DROP TABLE usage; --", Decimal("2.000000002"), NOW, 2, None, "x")]
        with pytest.raises(InvalidInput, match=r"@nte has no value\. Did you mean 'note'"):
            await rows_of(warehouse, "SELECT @nte", **parameters)

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM beta_prod.usage",
        "SELECT * FROM usage WHERE id IN (SELECT id FROM `demo.beta_prod.usage`)",
        "SELECT * FROM `elsewhere.acme_prod.usage`",
        "WITH beta AS (SELECT * FROM beta_prod.usage) SELECT * FROM beta",
        "DELETE FROM usage WHERE TRUE",
        "CREATE TABLE acme_prod.copy AS SELECT 1 AS a",
        "SELECT * FROM _convergence.jobs",
    ],
)
def test_what_is_outside_of_the_scope_is_denied(run: Callable[[Body], None], usage: TableSchema, sql: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        await warehouse.ensure_table("beta_prod", usage)
        with pytest.raises(Denied):
            await warehouse.query(sql, scope=READ)

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_json('x')",
        "SELECT * FROM glob('*')",
        "SELECT getenv('HOME')",
        "COPY usage TO 'x.csv'",
        "ATTACH 'x.db'",
        "INSTALL spatial",
        "PRAGMA database_list",
        "SET threads = 1",
        "SELECT * FROM 'x.csv'",
        "SELECT * FROM duckdb_settings()",
        "SELECT current_setting('threads')",
        "EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT 1",
    ],
)
def test_nothing_reaches_files_settings_or_the_network(
    run: Callable[[Body], None], usage: TableSchema, sql: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises((Denied, StepFailed)):
            await warehouse.query(sql, scope=WRITE)

    run(body)


def test_a_wrong_name_gets_the_nearest(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises(StepFailed, match=r"acme_prod\.usge.*'usage'"):
            await rows_of(warehouse, "SELECT * FROM usge")
        with pytest.raises(StepFailed, match=r"cst.*'cost'"):
            await rows_of(warehouse, "SELECT cst FROM usage")
        with pytest.raises(StepFailed, match=r"COUNTIFF.*'COUNTIF'"):
            await rows_of(warehouse, "SELECT COUNTIFF(TRUE) FROM usage")

    run(body)


def test_a_dry_run_runs_nothing_and_says_tables_and_bytes(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(100)])
        result = await warehouse.query("DELETE FROM usage WHERE id > 3", scope=WRITE, dry_run=True)
        assert result.tables == ("acme_prod.usage",)
        assert (result.bytes_processed or 0) >= 800
        with pytest.raises(StepFailed, match="its limit is 10"):
            await warehouse.query("SELECT * FROM usage", scope=READ, bytes_max=10)
        assert await rows_of(warehouse, "SELECT COUNT(*) FROM usage") == [(100,)]

    run(body)


def test_a_write_with_a_job_id_happens_once(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        sql = "UPDATE usage SET id = id + 1 WHERE TRUE"
        first = await warehouse.query(sql, scope=WRITE, job_id="once")
        again = await warehouse.query(sql, scope=WRITE, job_id="once")
        assert (first.rows_affected, again.rows_affected) == (1, 1)
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(2,)]

    run(body)


def test_rows_max_bounds_the_answer(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(10)])
        result = await warehouse.query("SELECT id FROM usage ORDER BY id", scope=READ, rows_max=3)
        assert [row["id"] for row in result.rows] == [0, 1, 2]

    run(body)


def test_a_cancelled_statement_leaves_nothing_behind_and_the_next_one_runs(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": number} for number in range(1000)])
        many = "(SELECT MAX(a.id + b.id + c.id + d.id) FROM usage a, usage b, usage c, usage d)"
        endless = f"UPDATE usage SET id = {many} WHERE TRUE"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(warehouse.query(endless, scope=WRITE), 0.2)
        assert await rows_of(warehouse, "SELECT MAX(id) FROM usage") == [(999,)]

    run(body)


def test_two_writers_of_one_table_wait_for_each_other(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 0}])
        add = "UPDATE usage SET id = id + 1 WHERE TRUE"
        await asyncio.gather(*(warehouse.query(add, scope=WRITE) for _ in range(20)))
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(20,)]

    run(body)


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
        with pytest.raises(SchemaMismatch, match=r"row 7501: column 'cost' wants NUMERIC, got text \('free'\)"):
            await warehouse.load(a_load(usage), stage)

    run(body)
