"""`schema: {mode: infer}` with Parquet, step and warehouse together: the same columns and rows in both."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.errors import ConvergenceError
from convergence.ports.warehouse import Scope, Statement, Warehouse
from tests.contract.warehouse.files_of_rows import Run
from tests.unit.processors.file_world import FileWorld

INFER = {"mode": "infer"}
DAY = date(2026, 1, 10)
EXACT = "12345678901234567890.123456789"  # a float has fewer digits
VALUES = """SELECT 7::INTEGER AS id, 12.50::DECIMAL(10, 2) AS cost, 12345678901234567890.5::DECIMAL(38, 1) AS wide,
  TIMESTAMPTZ '2026-01-10 01:00:00+02' AS at, TIMESTAMP '2026-01-10 01:00:00' AS seen, DATE '2026-01-10' AS day,
  {'model': 'm', 'tokens': 5::BIGINT} AS usage, ['a', 'b'] AS tags, 0.1::DOUBLE AS share, 'x'::BLOB AS data,
  true AS open, MAP {'k': 1, 'j': 2} AS labels, TIME '10:00:00.5' AS clock, 'n' AS "note text" """
# Files of pyarrow with a column of INT96: whole microseconds (also before 1970, NULL, and in 9999), and finer ones.
INT96 = (
    "UEFSMRUEFUAVQEwVCBUAEgAAAQAAAAAAAAACAAAAAAAAAAMAAAAAAAAABAAAAAAAAAAVABUUFRQsFQgVEBUGFQYcAAAAAgAAAAgBAgPkABUEFUgV"
    "SEwVBhUAEgAAAHhz22IDAAB7jSUAGPxOkZROAACCLyUAADa0VZROAAAs/lEAFQAVFBUULBUIFRAVBhUGHAAAAAIAAAADCwIDJAAVBBk8NQAYBnNj"
    "aGVtYRUEABUEJQIYAmlkABUGJQIYAmF0ABYIGRwZLCYAHBUEGTUABhAZGAJpZBUAFggWlgEWlgEmZCYIKSwVBBUAFQIAFQAVEBUCADwpBhkmAAgA"
    "AAAmABwVBhk1AAYQGRgCYXQVABYIFp4BFp4BJoICJp4BKSwVBBUAFQIAFQAVEBUCADwpBhkmAgYAAAAWtAIWCCYIFrQCACggcGFycXVldC1jcHAt"
    "YXJyb3cgdmVyc2lvbiAyNi4wLjEZLBwAABwAAADPAAAAUEFSMQ=="
)
FINER_INT96 = (
    "UEFSMRUEFTAVMEwVBhUAEgAAAQAAAAAAAAACAAAAAAAAAAMAAAAAAAAAFQAVFBUULBUGFRAVBhUGHAAAAAIAAAAGAQIDJAAVBBUwFTBMFQQVABIA"
    "AAB4c9tiAwAAe40lABV7c9tiAwAAe40lABUAFRIVEiwVBhUQFQYVBhwAAAACAAAAAwMBAwIVBBk8NQAYBnNjaGVtYRUEABUEJQIYAmlkABUGJQIY"
    "AmF0ABYGGRwZLCYAHBUEGTUABhAZGAJpZBUAFgYWhgEWhgEmVCYIKSwVBBUAFQIAFQAVEBUCADwpBhkmAAYAAAAmABwVBhk1AAYQGRgCYXQVABYG"
    "FoQBFoQBJtoBJo4BKSwVBBUAFQIAFQAVEBUCADwpBhkmAgQAAAAWigIWBiYIFooCACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZ"
    "LBwAABwAAADPAAAAUEFSMQ=="
)

# A file with a map that has a key twice, and another map.
TWINS = (
    "UEFSMRUAFTYVNiwVBhUAFQYVBhwAAAACAAAAAwICAAAABgIBAAAAYQEAAABhAQAAAGIVABVIFUgsFQYVABUGFQYcAAAAAgAAAAMCAgAAAAYDAQAA"
    "AAAAAAACAAAAAAAAAAMAAAAAAAAAFQQZXDUAGAZzY2hlbWEVAgA1AhgBbRUCFQJMLAAAADUEGAlrZXlfdmFsdWUVBAAVDCUAGANrZXklAEwcAAAA"
    "FQQlAhgFdmFsdWUAFgQZHBksJgAcFQwZJQYAGTgBbQlrZXlfdmFsdWUDa2V5FQAWBhZcFlwmCEkcFQAVABUCADwWBhkmBAIZNgAABgAAACYAHBUE"
    "GSUGABk4AW0Ja2V5X3ZhbHVlBXZhbHVlFQAWBhZuFm4mZEkcFQAVABUCADwpJgQCGUYAAAAGAAAAFsoBFgQmCBbKAQAoIHBhcnF1ZXQtY3BwLWFy"
    "cm93IHZlcnNpb24gMjYuMC4xGSwcAAAcAAAAAgEAAFBBUjE="
)


class Landed:
    """A folder of files and a warehouse that a step loads them into."""

    def __init__(self, folder: Path, warehouse: Warehouse) -> None:
        self._world = FileWorld(folder)
        self._world.warehouse = self._warehouse = warehouse

    def put(self, query: str) -> None:
        path = self._world.folder / "made.parquet"
        duckdb.sql(f"SET TimeZone = 'UTC'; COPY ({query}) TO '{path}' (FORMAT parquet)")
        self._world.put("things/a.parquet", path.read_bytes())

    def put_bytes(self, data: str) -> None:
        self._world.put("things/a.parquet", b64decode(data))

    async def run(self, schema: Mapping[str, Any] = INFER, **config: Any) -> dict[str, Any]:
        destination = {"table": "acme_things_raw", "date_field": "", "schema": schema}
        block = {"source": {"kind": "folder", "path": "things/"}, **config}
        return await self._world.execute(block, {"destination": destination, "start_date": DAY, "end_date": DAY})

    async def refused(self, schema: Mapping[str, Any] = INFER) -> str:
        with pytest.raises(ConvergenceError) as caught:
            await self.run(schema)
        return str(caught.value)

    async def columns(self) -> dict[str, str]:
        found = await self._warehouse.columns("acme_test", "acme_things_raw")
        return {column.name: column.type for column in found if not column.name.startswith("x_")}

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        result = await self._warehouse.query(Statement(sql, {}, scope=Scope(dataset="acme_test")))
        return [tuple(row.values()) for row in result.rows]


def test_the_types_of_the_file_give_the_columns_and_values_are_exact(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put(VALUES)
        result = await landed.run()
        assert (result["rows_written"], len(result["schema_changes"])) == (1, 14)
        assert "note_text STRING for 'note text'" in result["schema_changes"]
        types = "INT64 NUMERIC BIGNUMERIC TIMESTAMP DATETIME DATE JSON JSON FLOAT64 BYTES BOOL JSON TIME STRING"
        assert list((await landed.columns()).values()) == types.split()
        select = "SELECT id, cost, wide, at, seen, day, share, data, open, clock, note_text FROM acme_things_raw"
        assert await landed.rows(select) == [
            (
                7,
                Decimal("12.5"),
                Decimal("12345678901234567890.5"),
                datetime(2026, 1, 9, 23, tzinfo=UTC),
                datetime(2026, 1, 10, 1),
                DAY,
                0.1,
                b"x",
                True,
                time(10, 0, 0, 500_000),
                "n",
            )
        ]
        nested = "SELECT usage, tags, labels FROM acme_things_raw"
        assert await landed.rows(nested) == [({"model": "m", "tokens": 5}, ["a", "b"], {"k": 1, "j": 2})]

    run(body)


def test_objects_are_records_on_demand(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put("SELECT 1 AS id, {'model': 'm', 'at': {'hour': 5::BIGINT}} AS usage, {'tags': ['a']} AS listed")
        await landed.run({**INFER, "nested": "record"})
        assert (await landed.columns())["listed"] == "JSON"
        assert await landed.rows("SELECT usage.at.hour, usage.model FROM acme_things_raw") == [(5, "m")]

    run(body)


def test_the_contract_decides_on_new_fields_and_other_types(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put("SELECT 1::BIGINT AS id, 1.5::DECIMAL(9, 2) AS cost")
        await landed.run()
        landed.put("SELECT 2::BIGINT AS id, 2::BIGINT AS cost")  # a NUMERIC holds whole numbers
        assert (await landed.run({**INFER, "contract": "freeze"}))["schema_changes"] == []
        landed.put("SELECT 'b' AS id, 3.5::DOUBLE AS cost, true AS more")
        said = await landed.refused({**INFER, "contract": "freeze"})
        assert "the field 'id' is INT64 in acme_things_raw, not STRING" in said
        assert await landed.rows("SELECT id, cost FROM acme_things_raw") == [(2, Decimal(2))]
        await landed.run({**INFER, "contract": "evolve"})
        select = "SELECT id, id__string, cost, cost__float64, more FROM acme_things_raw"
        assert await landed.rows(select) == [(None, "b", None, 3.5, True)]

    run(body)


def test_whole_microseconds_of_int96_are_loaded_and_finer_ones_refused(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put_bytes(INT96)
        await landed.run()
        assert await landed.columns() == {"id": "INT64", "at": "TIMESTAMP"}
        loaded = await landed.rows("SELECT id, at FROM acme_things_raw ORDER BY id")
        assert loaded == [
            (1, datetime(2026, 1, 10, 1, 2, 3, 123456, UTC)),
            (2, datetime(1960, 2, 29, 23, 59, 59, 999999, UTC)),
            (3, None),
            (4, datetime(9999, 12, 31, 23, 59, 59, 0, UTC)),
        ]
        landed.put_bytes(FINER_INT96)
        said = await landed.refused()
        assert "column 'at' is not TIMESTAMP of whole microseconds: '2026-01-10 01:02:03.123456789+00'" in said
        assert len(await landed.rows("SELECT id FROM acme_things_raw")) == 4

    run(body)


def test_nanoseconds_that_no_column_stores_are_set_aside(run: Run, tmp_path: Path) -> None:
    whole = "TIMESTAMP_NS '1960-01-10 01:02:03.000001' AS seen, '2026-01-10 01:02:03.5+00'::TIMESTAMPTZ_NS AS at"
    finer = "TIMESTAMP_NS '1960-01-10 01:02:03.000001001', NULL"

    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put(f"SELECT 1 AS id, {whole} UNION ALL SELECT 2, {finer}")
        result = await landed.run(on_bad_row="quarantine")
        assert (result["rows_written"], await landed.columns()) == (
            1,
            {"id": "INT64", "seen": "DATETIME", "at": "TIMESTAMP"},
        )
        assert await landed.rows("SELECT seen, at FROM acme_things_raw") == [
            (datetime(1960, 1, 10, 1, 2, 3, 1), datetime(2026, 1, 10, 1, 2, 3, 500_000, UTC))
        ]
        [(reason, row)] = await landed.rows("SELECT reason, row_json FROM org_meta_quarantine_rows")
        assert "'seen' is not DATETIME of whole microseconds: '1960-01-10 01:02:03.000001001'" in reason
        assert "1960-01-10 01:02:03.000001001" in str(row)

    run(body)


def test_nanoseconds_inside_of_a_column_are_refused_with_the_way_out(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put("SELECT 1 AS id, {'seen': TIMESTAMP_NS '2026-01-10 01:02:03.5'} AS usage")
        said = await landed.refused()
        assert "a.parquet: the column 'usage' has times with nanoseconds inside of it ('seen')" in said
        assert "coerce_timestamps='us'" in said

    run(body)


@pytest.mark.parametrize(
    "value",
    [
        "'infinity'::DATE",
        "DATE '0044-03-15 (BC)'",
        "TIMESTAMP '10000-01-01 00:00:00'",
        "TIMESTAMPTZ 'infinity'",
        "TIME '24:00:00'",
    ],
)
def test_days_and_times_that_no_column_holds_are_refused(run: Run, tmp_path: Path, value: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put(f"SELECT 1 AS id, {value} AS moment")
        assert "a.parquet: " in await landed.refused()

    run(body)


def test_a_map_that_has_a_key_twice_is_refused(run: Run, tmp_path: Path) -> None:
    """JSON readers keep one of the values, and not all of them the same one."""

    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put_bytes(TWINS)
        assert "column 'm' is not JSON: '{\"a\":1,\"a\":2 (a key appears twice)'" in await landed.refused()
        assert (await landed.run(on_bad_row="quarantine"))["rows_written"] == 1
        assert await landed.rows("SELECT m FROM acme_things_raw") == [({"b": 3},)]

    run(body)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (f"{EXACT}::DECIMAL(38, 9)", EXACT),
        ("1.5::DECIMAL(9, 2)", 1.5),
        ("true", True),
    ],
)
def test_a_json_column_keeps_all_digits_of_a_number(run: Run, tmp_path: Path, value: str, stored: Any) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put("SELECT [1] AS data")
        await landed.run()
        landed.put(f"SELECT {value} AS data")
        assert (await landed.run())["schema_changes"] == []
        assert await landed.rows("SELECT data FROM acme_things_raw") == [(stored,)]

    run(body)


def test_rows_with_a_value_that_has_no_column_are_quarantined(run: Run, tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        landed = Landed(tmp_path, warehouse)
        landed.put("SELECT 1::BIGINT AS id, 'a' AS name, NULL::BIGINT AS old")
        await landed.run()
        more = "SELECT 2::BIGINT AS id, NULL::INTEGER[] AS name, NULL::BOOLEAN AS more, 7::BIGINT AS old"
        landed.put(f"{more} UNION ALL SELECT 3, NULL, true, 7 UNION ALL SELECT 4, [1], NULL, 7")
        result = await landed.run({**INFER, "contract": "quarantine"})
        assert (result["rows_written"], result["schema_changes"]) == (1, [])
        assert await landed.rows("SELECT id, name, old FROM acme_things_raw") == [(2, None, 7)]
        aside = [reason for (reason,) in await landed.rows("SELECT reason FROM org_meta_quarantine_rows")]
        assert sorted(reason.partition("column ")[2] for reason in aside) == [
            "'more' is not one of acme_things_raw",
            "'name' is JSON, and STRING in acme_things_raw",
        ]
        landed.put("SELECT 5::BIGINT AS id, true AS more")
        assert "none of its 1 rows fits" in await landed.refused({**INFER, "contract": "quarantine"})

    run(body)
