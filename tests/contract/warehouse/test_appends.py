"""Rows of a log: added, never replaced, refused when they do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convergence.errors import InvalidInput, SchemaMismatch
from convergence.ports.warehouse import TableSchema, Warehouse
from tests.contract.warehouse.world import NOW, Body, rows_of


def test_appended_rows_are_added_with_the_columns_that_they_bring(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        rows = [{"id": 1, "cost": "0.1", "raw": {"a": [1]}}, {"id": 2, "x_run_id": "r1", "at": NOW}]
        await warehouse.append("acme_prod", usage, rows, ids=["a", "b"])
        await warehouse.append("acme_prod", usage, [{"id": 3}], ids=["c"])
        found = await rows_of(warehouse, "SELECT id, raw, x_run_id, at FROM usage ORDER BY id")
        assert found == [(1, {"a": [1]}, None, None), (2, None, "r1", NOW), (3, None, None, None)]

    run(body)


def test_an_appended_row_that_does_not_fit_is_refused_by_number(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match="row 2: column 'cost' must be NUMERIC, got text"):
            await warehouse.append("acme_prod", usage, [{"id": 1}, {"id": 2, "cost": "free"}], ids=["a", "b"])
        with pytest.raises(SchemaMismatch, match=r"row 1: the table has no column 'nots'. Did you mean 'note'"):
            await warehouse.append("acme_prod", usage, [{"id": 1, "nots": "x"}], ids=["a"])
        with pytest.raises(InvalidInput, match="2 rows were given with 1 ids"):
            await warehouse.append("acme_prod", usage, [{"id": 1}, {"id": 2}], ids=["a"])

    run(body)
