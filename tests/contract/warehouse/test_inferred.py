"""Tables whose columns come from the data: what is stored of them, and stages that get further columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from convergence.config.files.schemas.fields import with_lineage
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema, Warehouse
from tests.contract.warehouse.world import Body, a_load, rows_of

ID = Column("id", "INT64", description='From the field "id", since run r1.')
NAME = Column("name", "STRING", description='From the field "it\'s", since run r1.')
NESTED = Column("usage", "STRUCT", fields=(Column("tokens", "INT64"), Column("model", "STRING")))
RAW = Column("raw", "JSON")


def inferred(*columns: Column) -> TableSchema:
    return TableSchema("things", with_lineage(columns), inferred=True)


def test_the_columns_of_a_table_are_known_with_type_mode_and_description(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        assert await warehouse.columns("acme_prod", "things") == ()
        tags = Column("tags", "STRING", "REPEATED")
        await warehouse.ensure_table("acme_prod", inferred(ID, NESTED))
        await warehouse.ensure_table("acme_prod", inferred(ID, NESTED, NAME, tags, RAW))
        stored = await warehouse.columns("acme_prod", "things")
        own = [column for column in stored if column.name not in LINEAGE_COLUMNS]
        assert own == [ID, NESTED, NAME, tags, RAW]
        assert {column.name for column in stored} == {*LINEAGE_COLUMNS, *(column.name for column in own)}

    run(body)


def test_a_stage_gets_the_columns_that_come_later_and_slices_of_all_schemas_load(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        first = warehouse.stage("acme_prod", inferred(ID), "s1")
        await first.write(0, [{"id": 1}])
        await first.flush()
        await first.write(1, [{"id": 2}])
        await first.flush()
        await warehouse.ensure_table("acme_prod", inferred(ID, NAME, RAW))
        first = warehouse.stage("acme_prod", inferred(ID, NAME, RAW), "s1")
        await first.write(2, [{"id": 3, "name": "c", "raw": {"a": [1]}}])
        await first.flush()
        second = warehouse.stage("acme_prod", inferred(ID, NAME, RAW), "s2")
        await second.write(0, [{"id": 4, "raw": "text"}])
        await second.flush()
        wide = inferred(ID, NAME, RAW, replace(NAME, name="late"))
        stages = [warehouse.stage("acme_prod", wide, name) for name in ("s1", "s2", "s3")]
        await stages[2].write(0, [{"id": 5, "late": "x"}])
        assert (await warehouse.load(a_load(wide), *stages)).rows_loaded == 5
        assert await rows_of(warehouse, "SELECT id, name, late, TO_JSON_STRING(raw) FROM things ORDER BY id") == [
            (1, None, None, "null"),
            (2, None, None, "null"),
            (3, "c", None, '{"a":[1]}'),
            (4, None, None, '"text"'),
            (5, None, "x", "null"),
        ]

    run(body)


def test_a_column_that_differs_by_case_or_type_from_a_stored_one_is_refused(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", inferred(ID))
        for other in (replace(ID, name="Id"), replace(ID, type="STRING")):
            with pytest.raises(SchemaMismatch, match=r"Id|STRING"):
                await warehouse.ensure_table("acme_prod", inferred(other))

    run(body)


def test_two_that_add_columns_without_knowing_of_each_other_both_get_them(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", inferred(ID))
        await warehouse.ensure_table("acme_prod", inferred(ID, NAME))
        await warehouse.ensure_table("acme_prod", inferred(ID, RAW))
        names = {column.name for column in await warehouse.columns("acme_prod", "things")}
        assert {"id", "name", "raw"} <= names

    run(body)


def test_exact_numbers_keep_their_digits(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        table = inferred(Column("n", "NUMERIC"), Column("b", "BIGNUMERIC"))
        stage = warehouse.stage("acme_prod", table, "s1")
        whole = "9" * 29
        await stage.write(0, [{"n": Decimal(f"{whole}.{'9' * 9}"), "b": Decimal(f"{'9' * 20}.{'9' * 18}")}])
        await warehouse.load(a_load(table), stage)
        assert await rows_of(warehouse, "SELECT n, b FROM things") == [
            (Decimal(f"{whole}.{'9' * 9}"), Decimal(f"{'9' * 20}.{'9' * 18}"))
        ]

    run(body)
