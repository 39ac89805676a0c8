"""What lands without a schema file is the same in both warehouses: raw records, inferred columns, what changes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import Warehouse
from tests.contract.warehouse.world import Body
from tests.unit.processors.landing_world import DAY, LandingWorld

INFER: dict[str, Any] = {"mode": "infer", "nested": "record"}
NEXT = date(2026, 11, 11)
FIRST = [
    {"id": 1, "amount": 12.5, "at": "2026-11-10T23:30:00-05:00", "day": "2026-11-10", "User": "a", "user": "b"},
    {"id": 2, "usage": {"tokens": 7, "model": "large"}, "tags": ["x", None, {}], "Cost (USD)": 1},
    {"id": 3, "big": Decimal(2**64), "small": Decimal("0.123456789012345678"), "text": "2026-11-10 or so"},
]
LATER = [
    {"id": "four", "amount": 3, "usage": {"tokens": 8}},
    {"id": 5, "amount": "none", "usage": {"tokens": 9, "cached": 1}, "more": True, "x_run_id": "theirs"},
]


def test_inferred_columns_and_what_changes_them(run: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        world = LandingWorld(warehouse, tmp_path)
        await world.land("r1", FIRST, INFER)
        for _ in range(2):  # a replay leaves the same rows
            landing = await world.land("r2", LATER, INFER, NEXT)
        types = await world.types()
        second = next(name for name in types if name.startswith("user_"))
        theirs = next(name for name in types if name.startswith("x_run_id_"))
        assert types == {
            "id": "INT64",
            "amount": "NUMERIC",
            "at": "TIMESTAMP",
            "day": "DATE",
            "User": "STRING",
            second: "STRING",
            "usage": "STRUCT",
            "tags": "JSON",
            "Cost_USD": "INT64",
            "big": "NUMERIC",
            "small": "BIGNUMERIC",
            "text": "STRING",
            "id__string": "STRING",
            "amount__string": "STRING",
            "usage__json": "JSON",
            "more": "BOOL",
            theirs: "STRING",
        }
        assert len(landing.changes()) == 5
        sql = (
            "id, id__string, amount, amount__string, usage.tokens AS tokens, TO_JSON_STRING(usage__json) AS usage, more"
        )
        assert [tuple(row.values()) for row in await world.rows(sql, "COALESCE(id, 4)")] == [
            (1, None, Decimal("12.5"), None, None, "null", None),
            (2, None, None, None, 7, "null", None),
            (3, None, None, None, None, "null", None),
            (None, "four", Decimal(3), None, 8, "null", None),
            (5, None, None, "none", None, '{"tokens":9,"cached":1}', True),
        ]
        (exact,) = [row for row in await world.rows("id, big, small") if row["id"] == 3]
        assert (exact["big"], exact["small"]) == (2**64, Decimal("0.123456789012345678"))

    run(body)


def test_raw_records(run: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        world = LandingWorld(warehouse, tmp_path)
        parts: dict[str, Any] = {"destination": {"key_fields": ["id"]}}
        await world.land("r1", [{"id": "a", "n": 1}, {"id": "b", "n": {"m": [0.1, None]}}], None, **parts)
        await world.land("r2", [{"id": "a", "n": 2}], None, NEXT, **parts)
        with pytest.raises(StepFailed, match="it has no id, the key that rows are merged by"):
            await world.land("r3", [{"id": "b", "n": 3}, {"n": "no id"}], None, NEXT, **parts)
        rows = await world.rows("id, TO_JSON_STRING(record) AS text", "id")
        assert [tuple(row.values()) for row in rows] == [
            ("a", '{"id":"a","n":2}'),
            ("b", '{"id":"b","n":{"m":[0.1,null]}}'),
        ]

    run(body)


def test_a_day_without_records_empties_its_slice(run: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(warehouse: Warehouse) -> None:
        world = LandingWorld(warehouse, tmp_path)
        await world.land("r1", [], INFER)
        await world.land("r2", [{"id": 1}], INFER, DAY)
        await world.land("r3", [{"id": 2}], INFER, NEXT)
        await world.land("r4", [], INFER, DAY)
        assert await world.rows("id") == [{"id": 2}]

    run(body)
