"""Tables grow, and never change a type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import (
    Column,
    TableSchema,
    Warehouse,
    WriteMode,
)
from tests.contract.warehouse.world import FIELDS, JAN_1, JAN_2, NOW, Body, a_lineage, load, rows_of


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


def test_the_current_view_has_a_day_once_from_the_pipeline_that_wrote_last(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    narrow = replace(usage, current_by=())
    wide = replace(narrow, columns=(*usage.columns, Column("added", "STRING")))

    async def body(warehouse: Warehouse) -> None:
        other = a_lineage(pipeline_id="other", ingested_at=NOW + timedelta(hours=1))
        await load(warehouse, narrow, [{"id": 1}, {"id": 2}], job_id="j1")
        await load(warehouse, narrow, [{"id": 2}, {"id": 3}], job_id="j2", lineage=other)
        assert await rows_of(warehouse, "SELECT id FROM usage ORDER BY id") == [(1,), (2,), (2,), (3,)]
        assert await rows_of(warehouse, "SELECT id FROM usage_current ORDER BY id") == [(2,), (3,)]
        again = a_lineage(ingested_at=NOW + timedelta(hours=2))
        await load(warehouse, wide, [{"id": 4, "added": "x"}], job_id="j3", lineage=again)
        assert await rows_of(warehouse, "SELECT id, added FROM usage_current") == [(4, "x")]

    run(body)


@pytest.mark.parametrize("by", [(), ("id",)])
def test_a_read_that_found_nothing_leaves_no_older_rows_of_another_pipeline(
    run: Callable[[Body], None], usage: TableSchema, by: tuple[str, ...]
) -> None:
    """The newest read of a source and day decides, also when it was empty, and also when a day of it had no rows."""
    columns = (Column("id", "STRING"), *usage.columns[1:])
    parted = replace(usage, columns=columns, current_by=by)
    current = "SELECT id, day FROM usage_current ORDER BY day, id"
    both, source = (JAN_1, JAN_2), {"id": "a"} if by else {}

    async def body(warehouse: Warehouse) -> None:
        async def read(hour: int, pipeline: str, rows: list[dict[str, object]], **changes: object) -> None:
            lineage = a_lineage(pipeline_id=pipeline, ingested_at=NOW + timedelta(hours=hour))
            options = {"dates": both, "date_field": "day", "source": source, "job_id": f"j{hour}"} | changes
            await load(warehouse, parted, rows, lineage=lineage, **options)

        await read(0, "older", [{"id": "a", "day": JAN_1}, {"id": "a", "day": JAN_2}])
        await read(1, "newer", [{"id": "a", "day": JAN_1}])
        assert await rows_of(warehouse, current) == [("a", JAN_1)]
        await read(2, "newer", [])
        assert await rows_of(warehouse, current) == []
        await read(3, "older", [{"id": "a", "day": JAN_2}])
        assert await rows_of(warehouse, current) == [("a", JAN_2)]
        if by:  # another source of the same credential and day is read by itself
            await read(4, "other", [{"id": "b", "day": JAN_1}], source={"id": "b"})
            await read(5, "other", [], source={})  # a load that does not name its source: what it had brought
            assert await rows_of(warehouse, current) == [("a", JAN_2)]

    run(body)


def test_a_view_of_an_earlier_release_learns_of_reads(run: Callable[[Body], None], usage: TableSchema) -> None:
    parted = replace(usage, current_by=())
    wide = replace(parted, columns=(*usage.columns, Column("added", "STRING")))

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, parted, [{"id": 1}], job_id="j1")
        later = a_lineage(pipeline_id="other", ingested_at=NOW + timedelta(hours=1))
        await load(warehouse, wide, [], job_id="j2", lineage=later)
        assert await rows_of(warehouse, "SELECT id, added FROM usage_current") == []

    run(body)


def test_a_column_that_is_no_longer_required_takes_null(run: Callable[[Body], None], usage: TableSchema) -> None:
    first, *others = usage.columns
    relaxed = replace(usage, columns=(replace(first, mode="NULLABLE"), *others))

    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}], job_id="j1")
        await load(warehouse, relaxed, [{"id": None}], job_id="j2", mode=WriteMode.APPEND)
        assert await rows_of(warehouse, "SELECT id FROM usage ORDER BY id") == [(None,), (1,)]

    run(body)


def test_the_columns_of_all_tables_of_a_dataset_are_known_at_once(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        assert await warehouse.column_names("acme_prod") == {}
        await warehouse.ensure_table("acme_prod", usage)
        await warehouse.ensure_table("acme_prod", replace(usage, name="other", columns=usage.columns[:2]))
        await warehouse.ensure_table("beta_prod", replace(usage, name="of_another_org"))
        names = tuple(column.name for column in usage.columns)
        found = await warehouse.column_names("acme_prod")
        assert (found["usage"], found["other"]) == (names, names[:2])
        assert "of_another_org" not in found

    run(body)
