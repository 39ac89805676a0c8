"""Files of rows: read by the warehouse itself, checked as text, refused with line and column."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.config.files.schemas.fields import with_lineage
from convergence.ports.warehouse import Column, FileFormat, RowFile, StagedFile, TableSchema, Warehouse
from tests.contract.warehouse.files_of_rows import ALL, Run
from tests.contract.warehouse.world import JAN_1, JAN_2, a_load, rows_of, staged


def test_a_file_becomes_rows(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = (
        'Id,Day,at,cost,note,Odd\n1,2026-01-01,2026-01-01T10:00:00Z,0.1,"a ""b"",\nc",x\n2,2026-01-02,,-1.5E-3,NULL,\n'
    )
    file = a_file(text, columns={"id": ("id", "Id"), "day": ("Day",)}, nulls=("", "NULL"), day="day")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        found = await stage.write_file(0, file)
        assert found == StagedFile(("Id", "Day", "at", "cost", "note", "Odd"), 2, (JAN_1, JAN_2))
        assert not file.path.exists()
        load = a_load(bills, dates=(JAN_1, JAN_2), date_field="day")
        assert (await warehouse.load(load, stage)).rows_loaded == 2
        assert (await warehouse.load(load, stage)).repeated
        assert await rows_of(warehouse, ALL) == [
            (1, JAN_1, Decimal("0.1"), 'a "b",\nc', '{"x_Odd":"x"}'),
            (2, JAN_2, Decimal("-0.0015"), None, None),
        ]
        [(run_id, run_date)] = await rows_of(warehouse, "SELECT x_run_id, x_pipeline_run_date FROM bills WHERE id = 2")
        assert (run_id, run_date) == ("r1", JAN_2)

    run(body)


def test_several_files_and_a_repeat_are_one_slice(run: Run, bills: TableSchema, a_file: Any) -> None:
    async def body(warehouse: Warehouse) -> None:
        before = await staged(warehouse, bills, [{"id": 9}], "before")
        await warehouse.load(a_load(bills, job_id="j0"), before)
        stage = warehouse.stage("acme_prod", bills, "s")
        for part, text in enumerate(("id\n1\n", "id\n7\n", "id\n3\n")):
            await stage.write_file(part, a_file(text))
        await stage.write_file(1, a_file("id,cost\n2,5\n4,6\n"))
        assert (await stage.write_file(3, a_file("id\n"))).rows == 0
        assert (await stage.write_file(4, a_file(""))).rows == 0
        result = await warehouse.load(a_load(bills), stage)
        assert (result.rows_loaded, result.rows_removed) == (4, 1)
        assert [row[0] for row in await rows_of(warehouse, ALL)] == [1, 2, 3, 4]

    run(body)


def test_digits_beyond_the_scale_are_rounded_where_that_is_said(run: Run, bills: TableSchema, a_file: Any) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        await stage.write_file(0, a_file("id,cost\n1,2.00000000000000000000000000000000000000000001\n", digits="round"))
        await warehouse.load(a_load(bills), stage)
        assert (await rows_of(warehouse, ALL))[0][2] == 2

    run(body)


def test_json_lines(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = '{"id": 1, "cost": "0.123456789012345678", "Odd": "x"}\n\n{"id": "2", "day": "2026-01-01", "note": null}\n'

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        assert (await stage.write_file(0, a_file(text, format=FileFormat.NDJSON))).rows == 2
        await warehouse.load(a_load(bills), stage)
        assert await rows_of(warehouse, ALL) == [
            (1, None, Decimal("0.123456789012345678"), None, '{"x_Odd":"x"}'),
            (2, JAN_1, None, None, None),
        ]

    run(body)


def test_fields_inside_of_json_lines(run: Run, bills: TableSchema, a_file: Any) -> None:
    """Objects that are texts, numbers or missing in some records have no such field."""
    text = (
        '{"id": 1, "in": {"cost": "0.123456789012345678", "a/b": {"~": "deep"}}, "/in/cost": 9}\n'
        '{"id": 2, "in": "text"}\n'
        '{"id": 3, "in": {"cost": 12, "a/b": {"~": ["x", null]}}}\n{"id": 4}\n{"id": 5, "in": {"cost": null}}\n'
    )
    columns = {"cost": ("/in/cost",), "note": ("/absent/x", "/in/a~1b/~0"), "day": ("/absent/day",)}

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        options = {"format": FileFormat.NDJSON, "columns": columns, "rest": "", "drop_rest": True}
        options["optional"] = frozenset({"day", "at", "note", "others"})
        assert (await stage.write_file(0, a_file(text, **options))).rows == 5
        await warehouse.load(a_load(bills), stage)
        assert await rows_of(warehouse, ALL) == [
            (1, None, Decimal("0.123456789012345678"), "deep", None),
            (2, None, None, None, None),
            (3, None, Decimal(12), '["x",null]', None),
            (4, None, None, None, None),
            (5, None, None, None, None),
        ]

    run(body)


def test_parquet(run: Run, bills: TableSchema, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "spooled"
    made = "SELECT 1 AS id, DATE '2026-01-01' AS day, TIMESTAMP '2026-01-01 10:00:00' AS at, 0.1::DOUBLE AS cost"
    odd = "MAP {'team': 'a'} AS \"Tags\""
    duckdb.sql(f"COPY ({made}, {odd}) TO '{path}' (FORMAT parquet)")
    file = RowFile(
        path=path, format=FileFormat.PARQUET, name="b.parquet", optional=frozenset({"note"}), rest="others", day="day"
    )

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        found = await stage.write_file(0, file)
        assert (found.rows, found.days) == (1, (JAN_1,))
        await warehouse.load(a_load(bills), stage)
        [(_, day, cost, _, others)] = await rows_of(warehouse, ALL)
        assert (day, cost) == (JAN_1, Decimal("0.1"))
        assert "team" in others

    run(body)


def test_the_columns_of_a_parquet_file_are_known_before_it_is_staged(run: Run, tmp_path: Path) -> None:
    import duckdb

    query = (
        "SELECT 1::BIGINT AS id, 1.5::DECIMAL(20, 4) AS cost, TIMESTAMPTZ '2026-01-10 00:00:00+00' AS at,"
        " DATE '2026-01-10' AS day, {'model': 'm', 'tokens': 5::BIGINT} AS usage"
    )
    path = tmp_path / "made.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    usage = Column("usage", "STRUCT", fields=(Column("model", "STRING"), Column("tokens", "INT64")))
    expected = (
        Column("id", "INT64"),
        Column("cost", "NUMERIC"),
        Column("at", "TIMESTAMP"),
        Column("day", "DATE"),
        usage,
    )
    table = TableSchema("things", with_lineage(expected), inferred=True)

    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", table)
        stage = warehouse.stage("acme_prod", table, "s")
        file = RowFile(path=path, format=FileFormat.PARQUET, name="made.parquet")
        assert await stage.file_columns(file) == expected
        assert (await stage.write_file(0, file)).rows == 1
        await warehouse.load(a_load(table), stage)
        assert await rows_of(warehouse, "SELECT id, cost, usage.tokens FROM things") == [(1, Decimal("1.5"), 5)]

    run(body)
