"""Columns with a length or precision, as a schema file declares them: rows and files are rounded or refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import FileFormat, RowFile, TableSchema, Warehouse
from tests.contract.warehouse.world import Body, a_load, load, rows_of

FIELDS = """[
  {"name": "id", "type": "INT64"}, {"name": "cost", "type": "NUMERIC", "precision": "6", "scale": "2"},
  {"name": "rate", "type": "BIGDECIMAL", "precision": 5, "scale": 3}, {"name": "code", "type": "STRING", "maxLength": 3}
]"""
Run = Callable[[Body], None]


@pytest.fixture
def bounded(tmp_path: Path) -> TableSchema:
    path = tmp_path / "bounded.json"
    path.write_text(FIELDS)
    return load_table_schema(path)


def test_rows_are_rounded_to_the_digits_of_their_column(run: Run, bounded: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        rows: list[dict[str, Any]] = [
            {"id": 1, "cost": "1.235", "rate": "-0.0005", "code": "äöü"},
            {"id": 2, "cost": 9999.99},
        ]
        await load(warehouse, bounded, rows)
        found = await rows_of(warehouse, "SELECT id, cost, rate, code FROM bounded ORDER BY id")
        assert found == [(1, Decimal("1.24"), Decimal("-0.001"), "äöü"), (2, Decimal("9999.99"), None, None)]

    run(body)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"cost": "9999.995"}, r"column 'cost' must be NUMERIC\(6, 2\), got text"),
        ({"rate": 100}, r"column 'rate' must be BIGNUMERIC\(5, 3\), got an integer"),
        ({"code": "abcd"}, r"column 'code' must be STRING\(3\), got text"),
    ],
)
def test_a_row_that_is_too_long_is_refused(run: Run, bounded: TableSchema, row: dict[str, Any], message: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match=message):
            await load(warehouse, bounded, [{"id": 1} | row])

    run(body)


def test_rows_of_a_file_are_rounded_or_set_aside(run: Run, bounded: TableSchema, tmp_path: Path) -> None:
    text = "id,cost,rate,code\n1,1.235,1,abc\n2,9999.995,1,a\n3,1,99.9995,b\n4,1,1,abcd\n5,-9999.994,0.0004,\n"
    path = tmp_path / "spooled"
    path.write_text(text)
    file = RowFile(path=path, format=FileFormat.CSV, name="bill.csv", bad_rows="set_aside", digits="round")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bounded, "s")
        found = await stage.write_file(0, file)
        assert [bad.problems for bad in found.bad] == [
            {"cost": "is not NUMERIC(6, 2): '9999.995'"},
            {"rate": "is not BIGNUMERIC(5, 3): '99.9995'"},
            {"code": "is not STRING(3): 'abcd'"},
        ]
        await warehouse.load(a_load(bounded), stage)
        rows = await rows_of(warehouse, "SELECT id, cost, rate FROM bounded ORDER BY id")
        assert rows == [(1, Decimal("1.24"), Decimal(1)), (5, Decimal("-9999.99"), Decimal(0))]

    run(body)


def test_digits_beyond_the_scale_are_refused_where_a_file_may_not_round(
    run: Run, bounded: TableSchema, tmp_path: Path
) -> None:
    path = tmp_path / "spooled"
    path.write_text("id,cost,rate,code\n1,1.230,1,a\n2,1.235,1,a\n")
    file = RowFile(path=path, format=FileFormat.CSV, name="bill.csv", bad_rows="set_aside", digits="refuse")

    async def body(warehouse: Warehouse) -> None:
        found = await warehouse.stage("acme_prod", bounded, "s").write_file(0, file)
        assert [bad.problems for bad in found.bad] == [{"cost": "is not NUMERIC(6, 2): '1.235'"}]

    run(body)
