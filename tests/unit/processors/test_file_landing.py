"""`generic.file_extractor` without a schema file: raw records, inferred columns, contracts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.checks.steps import StepCheck
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors import ps_types
from convergence.errors import ConfigError
from convergence.processors.files.inferring import typed
from tests.unit.processors.file_world import FileWorld

LISTED: Mapping[str, Any] = {"source": {"kind": "folder", "path": "things/"}}
LANDED = {"table": "acme_things_raw", "date_field": ""}
CSV = "id,day,cost,note\n007,2026-01-10,12.50,\n8,2026-01-11,123456789012.123456789012345678,b\n"


@pytest.fixture
def world(tmp_path: Path) -> FileWorld:
    return FileWorld(tmp_path)


def run(world: FileWorld, schema: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Load one day's files."""
    destination = {**LANDED, **fields.pop("destination", {}), **({"schema": schema} if schema else {})}
    day = date(2026, 1, 10)
    config = {**LISTED, **fields.pop("config", {})}
    return world.run(config, destination=destination, start_date=day, end_date=day, **fields)


def refused(world: FileWorld, schema: Mapping[str, Any] | None = None, **fields: Any) -> str:
    destination = {**LANDED, **fields.pop("destination", {}), **({"schema": schema} if schema else {})}
    day = date(2026, 1, 10)
    config = {**LISTED, **fields.pop("config", {})}
    return world.refused(config, destination=destination, start_date=day, end_date=day, **fields)


def test_a_table_without_a_schema_file_gets_whole_records(world: FileWorld) -> None:
    world.put("things/a.csv", CSV)
    result = run(world)
    assert (result["rows_written"], result["table"], result["schema_changes"]) == (2, "acme_things_raw", [])
    rows = world.rows("SELECT record, x_pipeline_run_date FROM acme_things_raw ORDER BY JSON_VALUE(record, '$.id')")
    assert rows == [
        ({"id": "007", "day": "2026-01-10", "cost": "12.50", "note": None}, date(2026, 1, 10)),
        (
            {"id": "8", "day": "2026-01-11", "cost": "123456789012.123456789012345678", "note": "b"},
            date(2026, 1, 10),
        ),
    ]


def test_raw_files_of_one_delivery_may_have_different_fields(world: FileWorld) -> None:
    world.put("things/a.ndjson", '{"id": 1, "cost": 0.1}\n')
    world.put("things/b.ndjson", '{"id": 2, "cost": 123456789012.123456789012345678, "new": {"a": [1]}}\n')
    run(world, {"mode": "raw"}, destination={"key_fields": ["id"]})
    assert world.rows("SELECT id, record FROM acme_things_raw ORDER BY id") == [
        ("1", {"id": 1, "cost": 0.1}),
        ("2", {"id": 2, "cost": "123456789012.123456789012345678", "new": {"a": [1]}}),
    ]


def test_raw_rows_of_a_month_know_their_delivery(world: FileWorld) -> None:
    world.put("things/a.csv", "period,id\n2026-01-01,1\n2026-02-01,2\n")
    monthly = {"period": "month", "period_column": "period", "on_bad_row": "quarantine"}
    result = run(world, config=monthly)
    assert (result["rows_written"], result["rows_quarantined"]) == (1, 1)
    assert world.rows("SELECT period, record, delivered_at IS NULL FROM acme_things_raw") == [
        (date(2026, 1, 1), {"period": "2026-01-01", "id": "1"}, False)
    ]


def test_columns_are_inferred_and_money_is_exact(world: FileWorld) -> None:
    world.put("things/a.csv", CSV + "9,2026-01-12,3,c\n")
    result = run(world, {"mode": "infer"})
    assert sorted(result["schema_changes"]) == ["cost BIGNUMERIC", "day DATE", "id STRING", "note STRING"]
    assert world.rows("SELECT id, day, cost, note FROM acme_things_raw ORDER BY day") == [
        ("007", date(2026, 1, 10), Decimal("12.5"), None),
        ("8", date(2026, 1, 11), Decimal("123456789012.123456789012345678"), "b"),
        ("9", date(2026, 1, 12), Decimal(3), "c"),
    ]


def test_a_later_delivery_is_for_the_contract(world: FileWorld) -> None:
    infer = {"mode": "infer"}
    world.put("things/a.csv", "id,cost\n1,2.5\n")
    run(world, infer)
    world.put("things/a.csv", "id,cost,team\n1,2.5,\nx9,n/a,core\n2,1,\n")
    said = refused(world, {**infer, "contract": "freeze"})
    assert "INT64 in acme_things_raw, not STRING" in said or "no column for the field" in said
    assert world.rows("SELECT COUNT(*) FROM acme_things_raw") == [(1,)]
    kept = run(world, {**infer, "contract": "quarantine"})
    assert (kept["rows_written"], kept["rows_quarantined"]) == (2, 1)
    (reason,) = world.rows("SELECT reason FROM org_meta_quarantine_rows")[0]
    assert reason.startswith("things/a.csv: ")
    grown = run(world, {**infer, "contract": "evolve"})
    assert {change.split(" for ")[0] for change in grown["schema_changes"]} == {
        "team STRING",
        "id__string STRING",
        "cost__string STRING",
    }
    sql = "SELECT id, id__string, cost, cost__string, team FROM acme_things_raw ORDER BY id NULLS LAST"
    assert world.rows(sql) == [
        (1, None, Decimal("2.5"), None, None),
        (2, None, Decimal(1), None, None),
        (None, "x9", None, "n/a", "core"),
    ]


def test_json_keeps_its_types_and_columns_their_names(world: FileWorld) -> None:
    world.put("things/a.ndjson", '{"Id": "5", "n": 1.10, "big": 9223372036854775808, "o": {"a": 1}}\n')
    run(world, {"mode": "infer"}, config={"columns": {"thing_id": "Id"}})
    assert world.rows("SELECT thing_id, n, big, o FROM acme_things_raw") == [
        ("5", Decimal("1.1"), Decimal(9223372036854775808), {"a": 1})
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a,b\n1\n", "line 2: 1 values, but the header has 2 columns"),
        ("a,a\n1,2\n", "line 1: each column needs a unique name"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("b\n1\n", "there is no column 'a'"),
    ],
)
def test_what_cannot_be_read_changes_nothing(world: FileWorld, data: str, said: str) -> None:
    world.put("things/a.csv", data)
    assert said in refused(world, {"mode": "infer"}, config={"columns": {"x": "a"}})


@pytest.mark.parametrize("mode", ["infer", "raw"])
def test_a_record_with_a_key_twice_loses_neither_value(world: FileWorld, mode: str) -> None:
    world.put("things/a.ndjson", '{"id": 1, "o": {"a": ":", "b": "x\\": y"}}\n')
    run(world, {"mode": mode})
    world.put("things/a.ndjson", '{"id": 1}\n{"id": 2, "o": {"a": 1, "a": 2}}\n')
    assert "line 2: the key 'a' appears twice in one object" in refused(world, {"mode": mode})
    assert world.rows("SELECT COUNT(*) FROM acme_things_raw") == [(1,)]


@pytest.mark.parametrize(
    ("schema", "config", "said"),
    [
        ({"mode": "infer"}, {"period": "month", "period_column": "a"}, "config.period needs a schema file"),
        ({"mode": "infer"}, {"columns": {"a": ["x", "y"]}}, "must have one name in the files"),
        (None, {"constants": {"a": "b"}}, "config.constants needs a schema file"),
        ({"mode": "raw"}, {"columns": {"a": "b"}}, "lands raw and has no column 'a'"),
    ],
)
def test_settings_that_need_a_schema_file_are_refused_by_run_and_validation(
    world: FileWorld, schema: Any, config: Mapping[str, Any], said: str
) -> None:
    assert said in refused(world, schema, config=config)
    destination = {"table": "acme_things_raw", **({"schema": schema} if schema else {})}
    assert any(said in message for message in problems(world, destination, config))


def test_raw_and_a_schema_file_exclude_each_other(world: FileWorld) -> None:
    destination = {"table": "acme_bills_raw", "schema": {"mode": "raw"}}
    assert "has a schema file" in refused(world, {"mode": "raw"}, destination={"table": "acme_bills_raw"})
    assert any("has a schema file" in message for message in problems(world, destination, {}))


def problems(world: FileWorld, destination: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    root = world.folder / "configs"
    check = StepCheck(ps_types.load, TableSchemas(root), root)
    blocks = {"source": LISTED["source"], "config": config, "destination": destination}
    found = check("generic.file_extractor", blocks, lambda path, message: ConfigError(f"{path}: {message}"))
    return [str(problem) for problem in found.problems]


@pytest.mark.parametrize(
    ("texts", "kind", "expected"),
    [
        (["1", "-20", "0"], None, [1, -20, 0]),
        (["1", "2.50", None], None, [1, Decimal("2.50"), None]),
        (["1", "02"], None, ["1", "02"]),
        (["1e5"], None, ["1e5"]),
        (["-0"], None, ["-0"]),
        (["true", "false"], None, [True, False]),
        (["true", "1"], None, ["true", "1"]),
        (["1", "x"], "INT64", [1, "x"]),
        (["1"], "STRING", ["1"]),
        (["12345678901234567890"], None, [Decimal(12345678901234567890)]),
    ],
)
def test_texts_become_what_they_write(texts: list[Any], kind: str | None, expected: list[Any]) -> None:
    found = [row["a"] for row in typed([{"a": text} for text in texts], lambda _: kind)]
    assert json.dumps(found, default=str) == json.dumps(expected, default=str)
    assert [type(each) for each in found] == [type(each) for each in expected]
