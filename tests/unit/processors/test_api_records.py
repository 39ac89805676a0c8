"""What `generic.api_extractor` takes for a record, and what becomes of fields without a column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import Column, TableSchema
from convergence.processors.generic.api.progress import Progress
from convergence.processors.generic.api.rows import Shaper
from convergence.processors.generic.api.settings import Transform
from convergence.processors.http.paging import Call
from tests.unit.processors.extraction import FIELDS, NONE, World, answer, things

DROP = {"unknown_fields": "drop"}
ERROR = {"error": {"message": "no data of this org"}}
TAGS = {"name": "tags", "type": "STRUCT", "mode": "REPEATED", "fields": [{"name": "key", "type": "STRING"}]}


def with_columns(world: World, *fields: dict[str, Any]) -> World:
    """Let `id` be optional, so that a row of NULLs would fit, and add columns."""
    columns = [{**FIELDS[0], "mode": "NULLABLE"}, *FIELDS[1:], *fields]
    (world.folder / "acme/schemas/acme_things_daily_raw.json").write_text(json.dumps(columns))
    return world


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (ERROR, "it is an error: no data of this org"),
        ({"errors": [{"detail": "first"}, {"detail": "second"}]}, "it is an error: first; second"),
        ({"error_message": "late", "status": 503}, "it is an error: late"),
        ({"id": 1, **ERROR}, "it reports an error, and lacks fields of .*: no data of this org"),
        ({"more": 1}, "it has no field that acme_things_daily_raw has a column for"),
        ({"id": None, "more": {"a": 1}}, "it has no field that"),
        ({}, "it has no field that"),
        ({"id": None, "day": None}, "it has no field that"),
    ],
)
@pytest.mark.parametrize("transform", [DROP, {**DROP, "flatten": True}, {**DROP, "add_fields": {"source": "api"}}])
def test_an_error_among_records_is_never_a_row_of_nulls(
    tmp_path: Path, record: Any, reason: str, transform: dict[str, Any]
) -> None:
    world = with_columns(World(tmp_path, lambda _: answer({"data": [record, things(2, 2)[0]]})))
    with pytest.raises(StepFailed, match=f"a record cannot be loaded: {reason}"):
        world.run(NONE, transform=transform)
    result, rows = world.run({**NONE, "on_bad_row": "quarantine"}, transform=transform)
    assert [row["id"] for row in rows] == [2]
    assert (result["balance"]["quarantined"], result["warnings"][-1]) == (
        1,
        "1 of 2 records are set aside in org_meta_quarantine_rows",
    )


def test_an_error_among_records_is_set_aside_as_it_came(tmp_path: Path) -> None:
    shaper = Shaper(
        TableSchema("t", (Column("id", "INT64"), Column("source", "STRING"))),
        Transform(unknown_fields="drop"),
        {"source": "api"},
        quarantine={"step_id": "s"},
    )
    [bad] = shaper.shape([ERROR]).bad
    assert bad["row_json"] == json.dumps(ERROR, separators=(",", ":"))


@pytest.mark.parametrize(
    ("record", "transform"),
    [
        ({**things(1, 1)[0], "seen_at": "2026-11-10", "amount": 1, "user_name": "a", "source": "b", **ERROR}, DROP),
        ({**things(1, 1)[0], "errors": 3}, DROP),
        ({**things(1, 1)[0], "error": None, "error_rate": 0.1}, DROP),
        ({**things(1, 1)[0], **ERROR}, {**DROP, "field_mapping": {"error.message": "source"}}),
    ],
    ids=["complete", "count", "null", "mapped"],
)
def test_a_record_may_mention_errors(tmp_path: Path, record: Any, transform: dict[str, Any]) -> None:
    result, (row,) = with_columns(World(tmp_path, lambda _: answer({"data": [record]}))).run(NONE, transform=transform)
    assert (row["id"], result["balance"]["loaded"]) == (1, 1)


def test_a_table_that_takes_any_field_takes_no_error_for_a_record(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _: answer({"data": [ERROR]}))
    fields = [{"name": "source", "type": "STRING"}, {"name": "other_fields", "type": "STRING"}]
    (tmp_path / "acme/schemas/acme_things_daily_raw.json").write_text(json.dumps(fields))
    with pytest.raises(StepFailed, match="it is an error"):
        world.run(NONE, transform={"add_fields": {"source": "api"}})


def test_fields_inside_an_object_follow_unknown_fields_and_are_counted(tmp_path: Path) -> None:
    records = [
        {"id": number, "day": "2026-11-10", "new": 1, "tags": [{"key": "a", "value": 1.5}, {"key": "b", "value": 2}]}
        for number in (1, 2)
    ]
    world = with_columns(World(tmp_path, lambda _: answer({"data": records})), TAGS)
    with pytest.raises(StepFailed, match=r"no column for the field 'new'"):
        world.run(NONE)
    with pytest.raises(StepFailed, match=r"no column for the field 'tags\.0\.value'"):
        world.run(NONE, transform={"field_mapping": {"new": "amount"}})
    result, rows = world.run(NONE, transform=DROP)
    assert result["fields_dropped"] == {"new": 2, "tags.value": 2}
    assert rows[0]["tags"] == [{"key": "a"}, {"key": "b"}]
    with_columns(world, TAGS, {"name": "other_fields", "type": "STRING"})
    result, rows = world.run(NONE)
    assert (result["fields_dropped"], rows[0]["other_fields"]) == (
        {},
        '{"new":1,"tags.0.value":1.5,"tags.1.value":2}',
    )


def test_dropped_fields_are_counted_over_all_slices_and_named_within_bounds() -> None:
    schema = TableSchema("t", (Column("id", "INT64"),))
    progress = Progress(call=Call("/", ()))
    for slice_ in range(3):
        shaper = Shaper(schema, Transform(unknown_fields="drop"), {}, dropped=progress.dropped)
        shaper.shape([{"id": 1, "same": 1, "x" * 300: 1, **{f"x{slice_}_{number}": 1 for number in range(60)}}])
        progress.dropped = shaper.dropped
        progress = Progress.from_checkpoint(json.loads(json.dumps(progress.checkpoint())))
    assert progress.dropped["same"] == 3
    assert progress.dropped["further fields"] == 3 + 3 * 60 - 98
    assert len(progress.dropped) == 100
