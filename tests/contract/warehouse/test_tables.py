"""Tables grow, and never change a type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from convergence.config.files.table_schema import load_table_schema
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import (
    TableSchema,
    Warehouse,
    WriteMode,
)
from tests.contract.warehouse.world import FIELDS, Body, load, rows_of


def test_a_table_gains_new_columns_but_never_another_type(
    run: Callable[[Body], None], usage: TableSchema, tmp_path: Path
) -> None:
    wider, other = tmp_path / "wider" / "usage.json", tmp_path / "other" / "usage.json"
    for path, text in (
        (wider, FIELDS[:-2] + ', {"name": "added", "type": "STRING"}]'),
        (other, FIELDS.replace("DATE", "STRING")),
    ):
        path.parent.mkdir()
        path.write_text(text)

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        await load(warehouse, load_table_schema(wider), [{"id": 2, "added": "x"}], job_id="j2", mode=WriteMode.APPEND)
        assert await rows_of(warehouse, "SELECT id, added FROM usage ORDER BY id") == [(1, None), (2, "x")]
        with pytest.raises(SchemaMismatch, match="column 'day' is STRING in the schema file, but DATE in the table"):
            await warehouse.ensure_table("acme_prod", load_table_schema(other))

    run(body)
