"""`schema: {mode: infer}` with Parquet in the embedded warehouse; `tests/contract` has what holds in every one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.processors.file_world import FileWorld

INFER = {"mode": "infer"}
DAY = date(2026, 1, 10)


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    return FileWorld(tmp_path)


def put(world: FileWorld, query: str, name: str = "a") -> None:
    path = world.folder / f"{name}.parquet"
    duckdb.sql(f"SET TimeZone = 'UTC'; COPY ({query}) TO '{path}' (FORMAT parquet)")
    world.put(f"things/{name}.parquet", path.read_bytes())


def step(schema: Mapping[str, Any], **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration of a step and its further blocks."""
    destination = {"table": "acme_things_raw", "date_field": "", **fields.get("destination", {}), "schema": schema}
    config = {"source": {"kind": "folder", "path": "things/"}, **fields.get("config", {})}
    return config, {"destination": destination, "start_date": DAY, "end_date": DAY}


def run(world: FileWorld, schema: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    config, others = step(schema, **fields)
    return world.run(config, **others)


def refused(world: FileWorld, schema: Mapping[str, Any], **fields: Any) -> str:
    config, others = step(schema, **fields)
    return world.refused(config, **others)


def columns(world: FileWorld) -> dict[str, str]:
    where = "WHERE table_name = 'acme_things_raw' AND NOT STARTS_WITH(column_name, 'x_')"
    found = world.rows(f"SELECT column_name, data_type FROM acme_test.INFORMATION_SCHEMA.COLUMNS {where}")
    return dict(found)


def test_files_of_one_delivery_may_have_different_columns(world: FileWorld) -> None:
    put(world, "SELECT 1 AS id, 'x' AS a")
    put(world, "SELECT 2 AS id, 'y' AS b", "b")
    assert run(world, INFER)["rows_written"] == 2
    assert world.rows("SELECT id, a, b FROM acme_things_raw ORDER BY id") == [(1, "x", None), (2, None, "y")]


def test_names_inside_of_nested_columns_are_not_those_of_columns(world: FileWorld) -> None:
    lists = "[1] AS a, [2] AS b, MAP {'k': 1} AS key, MAP {'k': 2} AS value, {'a': 1, 'duckdb_schema': [3]} AS element"
    put(world, f"SELECT {lists}, 255::UTINYINT AS duckdb_schema, 65535::USMALLINT AS short")
    run(world, INFER)
    found = columns(world)
    assert (found["duckdb_schema"], found["short"]) == ("INT64", "INT64")
    names = "a, b, key, value, element, duckdb_schema, short"
    nested = ([1], [2], {"k": 1}, {"k": 2}, {"a": 1, "duckdb_schema": [3]})
    assert world.rows(f"SELECT {names} FROM acme_things_raw") == [(*nested, 255, 65535)]
    put(world, 'SELECT 1 AS "Id", [2] AS "list", 3 AS "ix"')
    path = world.folder / "a.parquet"
    world.put("things/a.parquet", path.read_bytes().replace(b"ix", b"id"))  # DuckDB writes no file with two such names
    assert "names that differ only in case" in refused(world, INFER)


def test_a_value_without_room_is_refused_and_nothing_is_loaded(world: FileWorld) -> None:
    put(world, "SELECT 1::BIGINT AS id")
    run(world, INFER)
    put(world, "SELECT 18446744073709551615::UBIGINT AS id")
    assert "column 'id' is not INT64: '18446744073709551615'" in refused(world, INFER)
    assert world.rows("SELECT id FROM acme_things_raw") == [(1,)]


def test_renamed_columns_keys_and_dates(world: FileWorld) -> None:
    put(world, "SELECT 1 AS Id, DATE '2026-01-10' AS day")
    run(world, INFER, config={"columns": {"thing_id": "Id"}}, destination={"date_field": "day"})
    assert world.rows("SELECT thing_id, x_pipeline_run_date FROM acme_things_raw") == [(1, date(2026, 1, 10))]
    said = refused(world, INFER, config={"columns": {"thing": "other"}})
    assert "config.columns: there is no field for 'thing'" in said


def test_parquet_and_texts_do_not_mix_in_one_delivery(world: FileWorld) -> None:
    put(world, "SELECT 1 AS id")
    world.put("things/b.csv", "id\n2\n")
    assert "all Parquet, or none of them is" in refused(world, INFER)


def test_numbers_inside_of_lists_maps_and_records_keep_their_digits(world: FileWorld) -> None:
    """As texts where readers of JSON have only floats; NaN is no JSON, and made the stored value unreadable."""
    exact = "12345678901234567890.123456789::DECIMAL(38, 9)"
    put(
        world,
        f"SELECT {{'x': {exact}, 'f': 'nan'::DOUBLE, 'n': NULL::INT}} AS r, [{exact}] AS l, MAP {{'k': {exact}}} AS m",
    )
    digits = "12345678901234567890.123456789"
    expected = ({"x": digits, "f": "nan", "n": None}, [digits], {"k": digits})
    run(world, INFER)
    assert world.rows("SELECT r, l, m FROM acme_things_raw") == [expected]


def test_a_field_of_a_record_is_looked_at_as_a_column_is(world: FileWorld) -> None:
    record = {**INFER, "nested": "record"}
    put(world, "SELECT {'x': 0.12345678901234567891::DECIMAL(38, 20), 'day': DATE '2026-01-10'} AS r")
    assert 'column \'r\' is not STRUCT: \'{"x":"0.12345678901234567891"' in refused(world, record)
    put(world, "SELECT {'x': 0.5::DECIMAL(38, 20), 'day': 'infinity'::DATE} AS r")
    assert "column 'r' is not STRUCT" in refused(world, record)
    put(world, "SELECT {'x': 0.5::DECIMAL(38, 20), 'day': NULL::DATE} AS r UNION ALL SELECT NULL")
    run(world, record)
    assert world.rows("SELECT r.x, r.day FROM acme_things_raw ORDER BY 1") == [(None, None), (Decimal("0.5"), None)]


def test_a_time_in_utc_is_a_time(world: FileWorld) -> None:
    put(world, "SELECT TIMETZ '10:00:00.5+02' AS clock")
    run(world, INFER)
    assert world.rows("SELECT clock FROM acme_things_raw") == [(time(8, 0, 0, 500_000),)]
