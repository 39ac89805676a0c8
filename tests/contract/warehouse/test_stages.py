"""Stages: what does not fit is refused by row and column, parts are replaced and dropped."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import (
    TableSchema,
    Warehouse,
)
from tests.contract.warehouse.world import JAN_1, Body, a_load, load, rows_of, staged, write_and_load


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 2, "cost": "abc"}, r"row 3: column 'cost' must be NUMERIC, got text \('abc'\)"),
        ({"id": 1.5}, r"row 3: column 'id' must be INT64, got a number \(1.5\)"),
        ({"id": True}, r"row 3: column 'id' must be INT64, got a boolean"),
        ({"day": JAN_1}, r"row 3: column 'id' is REQUIRED, but has no value"),
        ({"id": 2, "day": "yesterday"}, r"row 3: column 'day' must be DATE, got text"),
        ({"id": 2, "cost": "1" + "0" * 29}, r"row 3: column 'cost' must be NUMERIC"),
        ({"id": 2, "tags": [{"key": "a", "amount": "x"}]}, r"row 3: column 'tags' must be ARRAY<STRUCT<key STRING"),
        ({"id": 2, "nots": "x"}, r"row 3: the table has no column 'nots'. Did you mean 'note'\?"),
        ({"id": 2, "tags": [{"key": "a", "valu": 1}]}, r"row 3: the table has no field 'tags.valu'"),
        ({"id": 2, "cost": float("nan")}, r"row 3: column 'cost' is nan, which is not a number"),
        ({"id": 2, "note": None, "tags": [{"key": "a", "amount": float("-inf")}]}, r"row 3: column 'tags' is -inf"),
        ({"id": 2, "tags": "é" * 100}, r"row 3: column 'tags' must be ARRAY<STRUCT<key STRING"),
        ({"id": 2, "tags": "x" + "é" * 100}, r"row 3: column 'tags' must be ARRAY<STRUCT<key STRING"),
        ({"id": 2, "cost": "1_000"}, r"row 3: column 'cost' must be NUMERIC, got text \('1_000'\)"),
        ({"id": 2, "day": "2026/1/5"}, r"row 3: column 'day' must be DATE, got text"),
        ({"id": 2, "cost": Decimal("NaN")}, r"row 3: column 'cost' must be NUMERIC, got text \('NaN'\)"),
        ({"id": 2, "cost": Decimal("Infinity")}, r"row 3: column 'cost' must be NUMERIC, got text"),
        ({"id": 2, "x_run_id": "r9"}, r"row 3: the table has no column 'x_run_id'.*adds the lineage columns itself"),
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


def test_a_number_inside_an_object_in_a_text_column_keeps_type_and_digits(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    exact = Decimal("12345678901.1234567890123")

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1, "note": {"a": [exact]}, "tags": [{"key": {"b": exact}}]}])
        rows = await rows_of(warehouse, "SELECT note, tags[OFFSET(0)].key AS key FROM usage")
        assert rows == [(f'{{"a":[{exact}]}}', f'{{"b":{exact}}}')]

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
        await stage.flush()
        result = await warehouse.load(a_load(usage), warehouse.stage("acme_prod", usage, "s"))
        assert result.rows_loaded == 2
        assert await rows_of(warehouse, "SELECT id FROM usage ORDER BY id") == [(3,), (5,)]

    run(body)


def test_what_was_flushed_is_there_for_the_next_process_and_is_replaced_by_it(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        first = warehouse.stage("acme_prod", usage, "s")
        await first.write(0, [{"id": 1}])
        await first.write(1, [{"id": 2}, {"id": 3}])
        await first.flush()
        second = warehouse.stage("acme_prod", usage, "s")
        await second.write(1, [{"id": 4}])
        assert (await warehouse.load(a_load(usage), second)).rows_loaded == 2
        assert await rows_of(warehouse, "SELECT id FROM usage ORDER BY id") == [(1,), (4,)]

    run(body)


def test_several_stages_are_loaded_together_also_when_one_is_empty(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        stages = [warehouse.stage("acme_prod", usage, name) for name in ("a", "b", "none")]
        for number, stage in enumerate(stages[:2]):
            await stage.write(0, [{"id": number, "raw": f"text {number}"}])
        assert (await warehouse.load(a_load(usage), *stages)).rows_loaded == 2
        assert await rows_of(warehouse, "SELECT raw FROM usage ORDER BY id") == [("text 0",), ("text 1",)]

    run(body)
