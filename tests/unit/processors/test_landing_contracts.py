"""What a table without a schema file does with new fields and other types: by contract, at the same time, bounded."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from tests.unit.processors.landing_world import TABLE, LandingWorld, in_world

INFER: dict[str, Any] = {"mode": "infer"}
FREEZE: dict[str, Any] = {"mode": "infer", "contract": "freeze"}
NEXT = date(2026, 11, 11)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"id": 3, "new": 1}, "no column for the field 'new'"),
        ({"id": "x"}, "the field 'id' is INT64 in .*, not STRING"),
    ],
)
def test_a_frozen_table_refuses_what_it_has_no_place_for(tmp_path: Path, record: Any, reason: str) -> None:
    async def body(world: LandingWorld) -> None:
        await world.land("r1", [{"id": 1}, {"id": 2}, {"id": 3, "later": True}], FREEZE)
        with pytest.raises(StepFailed, match=f"{reason}.*freeze"):
            await world.land("r2", [{"id": 4}, record], FREEZE, NEXT)
        assert len(await world.rows("id")) == 3
        assert list(await world.types()) == ["id", "later"]  # the run that made the table could add it

    in_world(tmp_path, body)


def test_a_table_that_quarantines_sets_such_records_aside(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        contract = {"mode": "infer", "contract": "quarantine"}
        await world.land("r1", [{"id": 1}], contract)
        await world.land("r2", [{"id": 2}, {"id": 3, "new": 1.5}, {"id": None}], contract, NEXT)
        assert [row["id"] for row in await world.rows("id")] == [1, 2]
        aside = await world.context("reader").warehouse.query(
            "SELECT reason, row_json FROM org_meta_quarantine_rows ORDER BY reason"
        )
        assert [(row["reason"], json.loads(row["row_json"])) for row in aside.rows] == [
            (f"{TABLE} has no column for the field 'new'", {"id": 3, "new": 1.5}),
            ("it has no value in any field", {"id": None}),
        ]

    in_world(tmp_path, body)


def test_two_runs_that_want_one_column_with_two_types_lose_nothing(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        one, other = await asyncio.gather(world.open("r1", INFER), world.open("r2", INFER, NEXT))
        shaped = await asyncio.gather(
            one.shape([{"id": 1, "amount": 5, "User": "a"}]), other.shape([{"id": 2, "amount": 0.5, "user": "b"}])
        )
        for landing, rows, day in zip((one, other), shaped, (date(2026, 11, 10), NEXT), strict=True):
            await landing.stages[0].write(0, rows.rows)
            await landing.load(dates=[day], staged=1)
        first, second = [set(map(str, row.values())) for row in await world.rows("*", "id")]
        assert first >= {"1", "a"}
        assert first & {"5", "5.000000000"}
        assert second >= {"2", "b", "0.500000000"}

    in_world(tmp_path, body)


def test_names_that_differ_by_case_have_a_column_each_in_every_run(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        await world.land("r1", [{"user": "a", "User": "b", "cost-usd": 1, "cost_usd": 2}], INFER)
        columns = list(await world.types())
        await world.land("r2", [{"cost_usd": 4, "cost-usd": 3, "User": "d", "user": "c"}], INFER, NEXT)
        assert list(await world.types()) == columns
        rows = [tuple(row.values()) for row in await world.rows(", ".join(columns))]
        assert rows == [("a", "b", 1, 2), ("c", "d", 3, 4)]

    in_world(tmp_path, body)


def test_ten_thousand_keys_make_a_bounded_number_of_columns(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        given = {f"key_{number}": number for number in range(10_000)} | {"x" * 300: "long"}
        landing = await world.land("r1", [{"id": 1, **given}], {"mode": "infer", "columns_max": 20})
        assert len(await world.types()) == 21
        (row,) = await world.rows("*")
        kept = {name: value for name, value in row.items() if name.startswith("key_")}
        others = row["other_fields"]
        assert {**kept, **others, "id": 1} == {**given, "id": 1}
        assert landing.changes()[-1] == "other_fields JSON for the fields that have no column"

    in_world(tmp_path, body)


def test_a_replay_after_an_evolution_leaves_the_same_rows(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        first, later = [{"id": 1, "n": 1}], [{"id": 2, "n": 1.5}, {"id": 3, "extra": {"a": 1}}]
        await world.land("r1", first, INFER)
        await world.land("r2", later, INFER, NEXT)
        rows = await world.rows("* EXCEPT (x_ingested_at)", "id")
        again = await world.land("r2", later, INFER, NEXT)
        await world.land("r1", first, INFER)
        assert await world.rows("* EXCEPT (x_ingested_at)", "id") == rows
        assert len(again.changes()) == 2  # what the run has changed, not what this execution did

    in_world(tmp_path, body)


def test_rows_of_earlier_slices_and_schemas_are_loaded_together(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        landing = await world.open("r1", INFER)
        for part in range(4):
            shaped = await landing.shape([{"id": part, f"column_{part}": Decimal(part)}])
            await landing.stages[0].write(part, shaped.rows)
        assert (await landing.load(dates=[date(2026, 11, 10)], staged=4)).rows_loaded == 4
        rows = await world.rows("id, column_0, column_3", "id")
        assert [tuple(row.values()) for row in rows] == [(0, 0, None), (1, None, None), (2, None, None), (3, None, 3)]

    in_world(tmp_path, body)


def test_a_day_without_records_empties_its_slice_and_makes_a_table_that_can_be_read(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        await world.land("r1", [], INFER)
        assert await world.rows("*") == []
        await world.land("r2", [{"id": 1}], INFER)
        await world.land("r3", [], INFER)
        assert await world.rows("*") == []

    in_world(tmp_path, body)


def test_a_schema_file_is_where_an_inferred_table_begins(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        file = tmp_path / "system" / "schemas" / f"{TABLE}.json"
        file.write_text('[{"name": "id", "type": "STRING"}, {"name": "at", "type": "TIMESTAMP"}]')
        await world.land("r1", [{"id": "a", "n": 1}], INFER)
        assert await world.types() == {"id": "STRING", "at": "TIMESTAMP", "n": "INT64"}
        with pytest.raises(StepFailed, match="has a schema file"):
            await world.land("r2", [{"id": "a"}], {"mode": "raw"})

    in_world(tmp_path, body)


def test_an_error_among_the_records_is_not_a_record(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        for schema in (INFER, None):
            with pytest.raises(StepFailed, match="it is an error: no such day"):
                await world.land("r1", [{"error": {"message": "no such day"}}], schema)

    in_world(tmp_path, body)


def test_a_key_that_no_record_has_is_an_error(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        with pytest.raises(StepFailed, match="it has no uid, the key that rows are merged by"):
            await world.land("r1", [{"id": 1}], INFER, destination={"key_fields": ["uid"]})

    in_world(tmp_path, body)
