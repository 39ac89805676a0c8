"""Values: what goes in comes out, parameters included."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from convergence.errors import InvalidInput
from convergence.ports.warehouse import (
    Parameter,
    Statement,
    TableSchema,
    Warehouse,
)
from tests.contract.warehouse.conftest import LOADERS, on_fresh
from tests.contract.warehouse.world import JAN_1, JAN_2, JAN_3, NOW, READ, Body, load, rows_of


@pytest.fixture(params=LOADERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Rows come as a parameter and by a staging table, and must be the same."""
    return on_fresh(request, tmp_path)


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
        [found] = (await warehouse.query(Statement(f"SELECT {', '.join(row)} FROM usage", scope=READ))).rows
        assert found == row

    run(body)


def test_money_never_passes_through_a_float(run: Callable[[Body], None], usage: TableSchema) -> None:
    amounts = [0.1234567895, "0.1234567895", -0.0000000005, 1e-9, 123456.789012345, "79228162514264337593543950335.5"]
    expected = [
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
        assert [cost for (cost,) in found] == [Decimal(text) for text in expected]

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
