"""`generic.api_extractor`: what becomes of each row, from the answer to the table."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.schemas.folder import TableSchemas
from convergence.sandbox.http import Request, Response
from tests.unit.processors.extraction import DAY, FIELDS, NONE, Handler, World, answer, failing, things
from tests.unit.processors.step_world import CONFIGS


def whole(**changes: Any) -> Handler:
    """One answer with one thing."""
    return lambda _: answer({"data": [{**things(1, 1)[0], **changes}]})


def test_several_days_without_a_date_field_are_refused(tmp_path: Path) -> None:
    assert "date_field" in failing(tmp_path, whole(), end_date=date(2026, 11, 11))


def test_rows_of_other_days_stop_the_step_or_are_filtered(tmp_path: Path) -> None:
    destination = {"date_field": "day"}
    assert "SchemaMismatch" in failing(tmp_path, whole(day="2026-11-09"), destination=destination)
    result, rows = World(tmp_path, whole(day="2026-11-09")).run(
        {**NONE, "outside_dates": "filter"}, destination=destination
    )
    assert rows == []
    assert result["balance"]["filtered"] == 1


def test_a_bad_row_can_be_put_into_quarantine(tmp_path: Path) -> None:
    records = [*things(1, 2), {"id": "many", "day": "2026-11-10"}, {"day": "2026-11-10"}]
    result, rows = World(tmp_path, lambda _: answer({"data": records})).run({**NONE, "on_bad_row": "quarantine"})
    assert len(rows) == 2
    assert result["balance"] == {"read": 4, "loaded": 2, "quarantined": 2, "filtered": 0, "duplicate": 0}


def test_fields_are_flattened_renamed_and_added(tmp_path: Path) -> None:
    record = {"number": 7, "user": {"name": "Ann"}, "meta": {"cost": {"amount": 0.1}}, "extra": 1}
    day = {"sql": "@d", "parameters": {"d": {"type": "DATE", "value": "2026-11-10"}}}
    transform = {
        "flatten": True,
        "field_mapping": {"number": "id", "meta.cost.amount": "amount"},
        "add_fields": {"source": "CONCAT('a', 'pi')", "day": day},
        "unknown_fields": "drop",
    }
    _, (row,) = World(tmp_path, lambda _: answer({"data": [record]})).run(NONE, transform=transform)
    assert (row["id"], row["user_name"], row["amount"]) == (7, "Ann", Decimal("0.1"))
    assert (row["source"], row["day"]) == ("api", DAY)


@pytest.mark.parametrize(
    ("given", "kept"), [("Acme (EU)", "Acme (EU)"), ("'quoted'", "quoted"), ("UPPER('x')", "X"), (7, "7")]
)
def test_an_added_field_is_sql_only_where_it_looks_like_it(tmp_path: Path, given: Any, kept: str) -> None:
    _, (row,) = World(tmp_path, whole()).run(NONE, transform={"add_fields": {"source": given}})
    assert row["source"] == kept


LONG = ["1234567890123.123456789", "12345678901.123456", "99999999999.999999", "9007199254740993.5",
        "12345678901234567890123", "-0.123456789"]  # fmt: skip


@pytest.mark.parametrize("number", LONG)
@pytest.mark.parametrize("config", [{}, {"on_bad_row": "quarantine"}])
def test_a_number_keeps_every_digit_on_its_way_into_numeric_and_string(
    tmp_path: Path, number: str, config: dict[str, str]
) -> None:
    body = f'{{"data": [{{"id": 1, "amount": {number}, "user": {{"name": {number}}}, "more": {number}}}]}}'.encode()
    transform = {"field_mapping": {"more": "source"}, "flatten": True}
    _, (row,) = World(tmp_path, lambda _: Response(200, body)).run({**NONE, **config}, transform=transform)
    assert (row["amount"], row["user_name"], row["source"]) == (Decimal(number), number, number)


def test_other_fields_keep_every_digit_as_a_number(tmp_path: Path) -> None:
    world = World(tmp_path, lambda _: Response(200, b'{"data": [{"id": 1, "x": [12345678901.123456, 1]}]}'))
    fields = [*FIELDS, {"name": "other_fields", "type": "STRING"}]
    (tmp_path / "acme/schemas/acme_things_daily_raw.json").write_text(json.dumps(fields))
    assert world.run(NONE)[1][0]["other_fields"] == '{"x":[12345678901.123456,1]}'


def test_keys_merge_rows_and_count_duplicates(tmp_path: Path) -> None:
    result, rows = World(tmp_path, lambda _: answer({"data": [*things(1, 2), *things(2, 2)]})).run(
        NONE, times=2, destination={"key_fields": ["id"]}
    )
    assert [row["id"] for row in rows] == [1, 2]
    assert result["balance"]["duplicate"] == 1


def test_the_quarantine_table_is_described() -> None:
    assert TableSchemas(CONFIGS).get("org_meta_quarantine_rows").columns[0].name == "table_name"


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"gen_ai.usage.amount": 5}, "gen_ai.usage.amount"),
        ({"attributes": {"gen_ai.usage.amount": 5, "x": 1}}, "attributes.gen_ai.usage.amount"),
        ({"attributes": {"gen_ai.usage": {"amount": 5}}}, "attributes.gen_ai.usage.amount"),
        ({"a.b": {"x": 1}, "a": {"b": {"c": 5}}}, "a.b.c"),
        ({"a.b": 5, "a": {"b": 6}}, "a.b"),
        ({"parts": [{"amount": 5}]}, "parts.0.amount"),
    ],
)
@pytest.mark.parametrize("flat", [True, False])
def test_a_mapped_key_may_have_points_in_its_name(tmp_path: Path, record: Any, path: str, flat: bool) -> None:
    transform = {"field_mapping": {path: "amount"}, "unknown_fields": "drop", "flatten": flat}
    result, (row,) = World(tmp_path, whole(**record)).run(NONE, transform=transform)
    assert row["amount"] == 5
    assert result["warnings"] == []


def test_a_mapped_field_does_not_come_twice(tmp_path: Path) -> None:
    world = World(tmp_path, whole(meta={"gen_ai.cost": 5, "more": 1}))
    fields = [*FIELDS, {"name": "other_fields", "type": "STRING"}]
    (tmp_path / "acme/schemas/acme_things_daily_raw.json").write_text(json.dumps(fields))
    _, (row,) = world.run(NONE, transform={"field_mapping": {"meta.gen_ai.cost": "amount"}})
    assert (row["amount"], row["other_fields"]) == (5, '{"meta":{"more":1}}')


def test_a_mapped_field_that_no_record_has_is_a_warning_or_a_stop(tmp_path: Path) -> None:
    mapping = {"field_mapping": {"usage.costs": "amount"}}
    result, _ = World(tmp_path, whole()).run(NONE, transform=mapping)
    assert result["warnings"] == ["transform.field_mapping: none of 1 records has 'usage.costs'"]
    assert World(tmp_path, lambda _: answer({"data": []})).run(NONE, transform=mapping)[0]["warnings"] == []
    message = failing(tmp_path, whole(), transform={**mapping, "unseen_fields": "stop"})
    assert "none of 1 records has 'usage.costs'; nothing was loaded" in message


def test_two_fields_for_one_column_are_refused(tmp_path: Path) -> None:
    assert "mapped to the column 'amount'" in failing(
        tmp_path, whole(), transform={"field_mapping": {"a": "amount", "b": "amount"}}
    )


EVENING = "2026-11-10T23:30:00-05:00"  # the 11th in UTC


@pytest.mark.parametrize("field", ["day", "seen_at"])
@pytest.mark.parametrize("bad", ["stop", "quarantine"])
def test_filter_and_load_agree_on_the_day_of_a_time_with_an_offset(tmp_path: Path, field: str, bad: str) -> None:
    config = {**NONE, "outside_dates": "filter", "on_bad_row": bad}
    handler = whole(**{field: EVENING})
    result, rows = World(tmp_path, handler).run(config, destination={"date_field": field})
    assert (rows, result["balance"]["filtered"]) == ([], 1)
    after = date(2026, 11, 11)
    _, (row,) = World(tmp_path, handler).run(
        config, destination={"date_field": field}, start_date=after, end_date=after
    )
    assert row["x_pipeline_run_date"] == after
    assert (row[field] if field == "day" else row[field].date()) == after


BAD = [{"day": "2026/11/10"}, {"day": "20261110"}, {"day": None}, {"day": 20261110}, {"amount": "1_000"},
       {"amount": "1" + "0" * 29}, {"id": 1.5}, {"id": "0x1F"}, {"id": 2**64}, {"seen_at": "2026-11-10T24:00:00Z"},
       {"seen_at": 1700000000}, {"amount": True}, {"amount": [1]}]  # fmt: skip


@pytest.mark.parametrize("change", BAD)
@pytest.mark.parametrize("outside", ["stop", "filter"])
def test_what_the_load_refuses_is_set_aside_and_the_rest_loads(
    tmp_path: Path, change: dict[str, Any], outside: str
) -> None:
    config, destination = {**NONE, "outside_dates": outside}, {"date_field": "day"}

    def handler(_: Request) -> Response:
        return answer({"data": [*things(1, 2), {**things(3, 3)[0], **change}]})

    assert "SchemaMismatch" in failing(tmp_path, handler, config, destination=destination)
    result, rows = World(tmp_path, handler).run({**config, "on_bad_row": "quarantine"}, destination=destination)
    assert [row["id"] for row in rows] == [1, 2]
    assert result["balance"] == {"read": 3, "loaded": 2, "quarantined": 1, "filtered": 0, "duplicate": 0}


@pytest.mark.parametrize(
    "change", [{"amount": "12.50"}, {"amount": "1e3"}, {"id": "3"}, {"id": 3.0}, {"id": "3.00"},
               {"seen_at": "2026-11-10 08:00:00 UTC"}, {"seen_at": "2026-11-10"}, {"user_name": 7}, {"amount": None}]
)  # fmt: skip
def test_what_loads_is_not_set_aside(tmp_path: Path, change: dict[str, Any]) -> None:
    for bad in ("stop", "quarantine"):
        result, _ = World(tmp_path, whole(**{**things(3, 3)[0], **change})).run({**NONE, "on_bad_row": bad})
        assert result["balance"]["loaded"] == 1
