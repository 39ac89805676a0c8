"""`schema: {mode: infer}` with Parquet: the file's own types give the columns, the contract decides on changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.processors.file_world import FileWorld

FIRST = """SELECT 7::INTEGER AS id, 12.50::DECIMAL(10, 2) AS cost, 12345678901234567890.5::DECIMAL(38, 1) AS wide,
  TIMESTAMPTZ '2026-01-10 01:00:00+02' AS at, TIMESTAMP '2026-01-10 01:00:00' AS seen, DATE '2026-01-10' AS day,
  {'model': 'm', 'tokens': 5::BIGINT} AS usage, ['a', 'b'] AS tags, 0.1::DOUBLE AS share, 'x'::BLOB AS data,
  true AS open, MAP {'k': 1} AS labels, NULL::VARCHAR AS "note text" """
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


def test_the_types_of_the_file_give_the_columns_and_values_are_exact(world: FileWorld) -> None:
    put(world, FIRST)
    result = run(world, INFER)
    assert (result["rows_written"], len(result["schema_changes"])) == (1, 13)
    assert "note_text STRING for 'note text'" in result["schema_changes"]
    assert columns(world) == {
        "id": "INT64",
        "cost": "NUMERIC",
        "wide": "BIGNUMERIC",
        "at": "TIMESTAMP",
        "seen": "DATETIME",
        "day": "DATE",
        "usage": "JSON",
        "tags": "JSON",
        "share": "FLOAT64",
        "data": "BYTES",
        "open": "BOOL",
        "labels": "JSON",
        "note_text": "STRING",
    }
    [row] = world.rows("SELECT id, cost, at, seen, day, usage, tags, share, data, open FROM acme_things_raw")
    assert row[:2] == (7, Decimal("12.5"))
    assert row[2:5] == (datetime(2026, 1, 9, 23, tzinfo=UTC), datetime(2026, 1, 10, 1), date(2026, 1, 10))
    assert row[5:] == ({"model": "m", "tokens": 5}, ["a", "b"], 0.1, b"x", True)


def test_objects_are_records_on_demand(world: FileWorld) -> None:
    put(world, "SELECT 1 AS id, {'model': 'm', 'at': {'hour': 5::BIGINT}} AS usage, {'tags': ['a']} AS listed")
    run(world, {**INFER, "nested": "record"})
    assert columns(world)["listed"] == "JSON"
    assert world.rows("SELECT usage.at.hour, usage.model FROM acme_things_raw") == [(5, "m")]


def test_the_contract_decides_on_new_fields_and_other_types(world: FileWorld) -> None:
    put(world, "SELECT 1::BIGINT AS id, 1.5::DECIMAL(9, 2) AS cost")
    run(world, INFER)
    put(world, "SELECT 2::BIGINT AS id, 2::BIGINT AS cost")  # a NUMERIC holds whole numbers
    assert run(world, {**INFER, "contract": "freeze"})["schema_changes"] == []
    put(world, "SELECT 'b' AS id, 3.5::DOUBLE AS cost, true AS more")
    for contract in ("freeze", "quarantine"):
        said = refused(world, {**INFER, "contract": contract})
        assert (
            f"the field 'id' is INT64 in acme_things_raw, not STRING. The contract of destination.schema is {contract}"
            in said
        )
    assert world.rows("SELECT id, cost FROM acme_things_raw") == [(2, Decimal(2))]
    changes = run(world, {**INFER, "contract": "evolve"})["schema_changes"]
    assert sorted(changes) == [
        "cost__float64 FLOAT64 for values of 'cost' that are FLOAT64",
        "id__string STRING for values of 'id' that are STRING",
        "more BOOL",
    ]
    assert world.rows("SELECT id, id__string, cost__float64, more FROM acme_things_raw") == [(None, "b", 3.5, True)]


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


def clocks(*rows: tuple[int, str, str]) -> str:
    """Return the query of rows with two times that have nanoseconds."""
    found = (f"SELECT {i} AS id, '{seen}'::TIMESTAMP_NS AS seen, '{at}'::TIMESTAMPTZ_NS AS at" for i, seen, at in rows)
    return " UNION ALL ".join(found)


WHOLE = (1, "2026-01-10 01:02:03.123456000", "2026-01-10 01:02:03.123456000+00")
FINER = (
    (2, "2026-01-10 01:02:03.123456789", "2026-01-10 01:02:03.5+00"),
    (3, "2026-01-10 01:02:03.5", "2026-01-10 01:02:03.000000001+00"),
)


def test_nanoseconds_that_no_column_holds_are_refused_and_others_are_loaded(world: FileWorld) -> None:
    put(world, clocks(WHOLE))
    run(world, INFER)
    assert columns(world) == {"id": "INT64", "seen": "DATETIME", "at": "TIMESTAMP"}
    whole = (datetime(2026, 1, 10, 1, 2, 3, 123456), datetime(2026, 1, 10, 1, 2, 3, 123456, UTC))
    loaded = "SELECT id, seen, at FROM acme_things_raw ORDER BY id"
    assert world.rows(loaded) == [(1, *whole)]
    put(world, clocks(WHOLE, *FINER))
    said = refused(world, INFER)
    assert "row 2: column 'seen' is not DATETIME of whole microseconds: '2026-01-10 01:02:03.123456789'" in said
    assert world.rows(loaded) == [(1, *whole)]


def test_rows_with_such_nanoseconds_are_set_aside_with_all_digits(world: FileWorld) -> None:
    put(world, clocks(WHOLE, *FINER))
    result = run(world, INFER, config={"on_bad_row": "quarantine"})
    assert (result["rows_written"], world.rows("SELECT id FROM acme_things_raw ORDER BY id")) == (1, [(1,)])
    aside = world.rows("SELECT reason, row_json FROM org_meta_quarantine_rows ORDER BY row_json")
    assert "'seen' is not DATETIME of whole microseconds: '2026-01-10 01:02:03.123456789'" in aside[0][0]
    assert "'at' is not TIMESTAMP of whole microseconds: '2026-01-10 01:02:03.000000001+00'" in aside[1][0]
    assert "2026-01-10 01:02:03.123456789" in str(aside[0][1])
