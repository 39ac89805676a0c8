"""Files of rows and the table of bills that they are read into."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import RowFile, StagedFile, TableSchema, Warehouse
from tests.contract.warehouse.world import Body

Run = Callable[[Body], None]
BILLS = """[
  {"name": "id", "type": "INT64", "mode": "REQUIRED"}, {"name": "day", "type": "DATE"},
  {"name": "at", "type": "TIMESTAMP"}, {"name": "cost", "type": "BIGNUMERIC"}, {"name": "note", "type": "STRING"},
  {"name": "others", "type": "STRING"}
]"""
ALL = "SELECT id, day, cost, note, others FROM bills ORDER BY id"


async def read(warehouse: Warehouse, table: TableSchema, file: RowFile) -> StagedFile:
    return await warehouse.stage("acme_prod", table, "s").write_file(0, file)


def refused(run: Run, table: TableSchema, file: RowFile) -> str:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch) as caught:
            await read(warehouse, table, file)
        found.append(str(caught.value))

    found: list[str] = []
    run(body)
    return found[0]
