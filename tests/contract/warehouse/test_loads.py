"""Loads: slices are replaced, merged or extended, each load once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import InvalidInput, SchemaMismatch
from convergence.ports.warehouse import (
    LoadResult,
    TableSchema,
    Warehouse,
    WriteMode,
)
from tests.contract.warehouse.conftest import LOADERS, on_fresh
from tests.contract.warehouse.world import JAN_1, JAN_2, JAN_3, NOW, Body, a_lineage, load, rows_of


@pytest.fixture(params=LOADERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Rows come as a parameter and by a staging table, and must be the same."""
    return on_fresh(request, tmp_path)


def test_loaded_rows_carry_the_seven_lineage_columns(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 7}])
        lineage = await rows_of(
            warehouse,
            "SELECT x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at,"
            " x_ingestion_date FROM usage",
        )
        assert lineage == [("acme", "acme-usage", "c1", JAN_1, "r1", NOW, date(2026, 3, 1))]

    run(body)


def test_a_load_replaces_each_date_and_empties_dates_without_rows(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    dates = (JAN_1, JAN_2)

    async def body(warehouse: Warehouse) -> None:
        first = [{"id": 1, "day": JAN_1}, {"id": 2, "day": JAN_2}, {"id": 3, "day": JAN_3}]
        await load(warehouse, usage, first, dates=(JAN_1, JAN_2, JAN_3), date_field="day")
        result = await load(warehouse, usage, [{"id": 9, "day": JAN_1}], job_id="j2", dates=dates, date_field="day")
        assert result == LoadResult(rows_loaded=1, rows_removed=2)
        assert await rows_of(warehouse, "SELECT id, x_pipeline_run_date FROM usage ORDER BY id") == [
            (3, JAN_3),
            (9, JAN_1),
        ]

    run(body)


def test_slices_of_other_pipelines_orgs_and_credentials_stay(run: Callable[[Body], None], usage: TableSchema) -> None:
    others = [a_lineage(org_slug="beta"), a_lineage(pipeline_id="other"), a_lineage(credential_id="c2")]

    async def body(warehouse: Warehouse) -> None:
        for number, lineage in enumerate(others):
            await load(warehouse, usage, [{"id": number}], job_id=f"o{number}", lineage=lineage)
        result = await load(warehouse, usage, [{"id": 9}])
        assert result.rows_removed == 0
        assert await rows_of(warehouse, "SELECT COUNT(*) FROM usage") == [(4,)]

    run(body)


def test_a_timestamp_belongs_to_its_date_in_utc(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        rows = [{"id": 1, "at": "2026-01-02T01:00:00+02:00"}]
        await load(warehouse, usage, rows, dates=(JAN_1,), date_field="at")
        assert await rows_of(warehouse, "SELECT x_pipeline_run_date FROM usage") == [(JAN_1,)]

    run(body)


def test_a_row_outside_of_the_dates_is_refused_by_number(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match=r"row 2: 'day' is 2026-01-03, which is not among the dates"):
            await load(warehouse, usage, [{"id": 1, "day": JAN_1}, {"id": 2, "day": JAN_3}], date_field="day")

    run(body)


def test_append_keeps_and_merge_replaces_rows_with_the_same_key(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1, "note": "old"}, {"id": 2, "note": "old"}])
        await load(warehouse, usage, [{"id": 3, "note": "added"}], job_id="j2", mode=WriteMode.APPEND)
        merged = [{"id": 2, "note": "early"}, {"id": 2, "note": "late"}, {"id": 4, "note": "new"}]
        result = await load(warehouse, usage, merged, job_id="j3", mode=WriteMode.MERGE, key_fields=("id",))
        assert result == LoadResult(rows_loaded=2, rows_removed=1)
        found = await rows_of(warehouse, "SELECT id, note FROM usage ORDER BY id")
        assert found == [(1, "old"), (2, "late"), (3, "added"), (4, "new")]

    run(body)


def test_groups_are_replaced_as_a_whole_and_keep_all_of_their_rows(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    groups: dict[str, Any] = {"dates": (JAN_1, JAN_2), "date_field": "day", "mode": WriteMode.GROUPS}

    async def body(warehouse: Warehouse) -> None:
        before = [(1, "a"), (2, "a"), (3, "a"), (4, "b")]
        await load(warehouse, usage, [{"id": one, "note": note, "day": JAN_1} for one, note in before])
        late: list[dict[str, Any]] = [{"id": 5, "note": "a", "day": JAN_1}, {"id": 5, "note": "a", "day": JAN_1}]
        rows: list[dict[str, Any]] = [
            *late,
            {"id": 6, "note": None, "day": JAN_1},
            {"id": 7, "note": "b", "day": JAN_2},
        ]
        result = await load(warehouse, usage, rows, job_id="j2", key_fields=("note",), **groups)
        assert result == LoadResult(rows_loaded=4, rows_removed=3)
        found = await rows_of(warehouse, "SELECT id, note FROM usage ORDER BY id")
        assert found == [(4, "b"), (5, "a"), (5, "a"), (6, None), (7, "b")]
        again = await load(warehouse, usage, rows, job_id="j3", key_fields=("note",), **groups)
        assert again == LoadResult(rows_loaded=4, rows_removed=4)

    run(body)


def test_a_reference_table_is_one_slice_over_all_dates(run: Callable[[Body], None], usage: TableSchema) -> None:
    async def body(warehouse: Warehouse) -> None:
        early = a_lineage(ingested_at=datetime(2026, 2, 1, tzinfo=UTC))
        await load(warehouse, usage, [{"id": 1}], dates=None, lineage=early)
        assert (await load(warehouse, usage, [{"id": 2}], job_id="j2", dates=None)).rows_removed == 1
        assert await rows_of(warehouse, "SELECT id, x_pipeline_run_date FROM usage") == [(2, date(2026, 3, 1))]

    run(body)


def test_a_known_job_changes_nothing_and_answers_as_the_first_time(
    run: Callable[[Body], None], usage: TableSchema
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await load(warehouse, usage, [{"id": 1}])
        assert await load(warehouse, usage, [{"id": 2}, {"id": 3}]) == LoadResult(1, 0, repeated=True)
        assert await rows_of(warehouse, "SELECT id FROM usage") == [(1,)]

    run(body)


def test_a_load_that_contradicts_itself_is_refused(run: Callable[[Body], None], usage: TableSchema) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"dates": (JAN_1, JAN_2)}, "needs date_field"),
        ({"mode": WriteMode.MERGE}, "merge needs key_fields"),
        ({"mode": WriteMode.GROUPS}, "groups needs key_fields"),
        ({"date_field": "dya"}, "no column 'dya'.*'day'"),
    ]

    async def body(warehouse: Warehouse) -> None:
        for changes, message in wrong:
            with pytest.raises(InvalidInput, match=message):
                await load(warehouse, usage, [{"id": 1}], **changes)

    run(body)
