"""Tables without a schema file: raw records, and columns inferred from them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import Column
from convergence.processors.generic.landing.kinds import checker, column_for
from convergence.processors.generic.landing.names import Origin, column_name, describe, origin_of
from tests.unit.processors.landing_world import LandingWorld, in_world

INFER = {"mode": "infer"}
NEXT = date(2026, 11, 11)


@pytest.mark.parametrize(
    ("column", "kept", "lost"),
    [
        (Column("a", "NUMERIC", bounds=(6, 2)), [1, Decimal("9999.99"), 1.5], [Decimal("1.235"), 10_000]),
        (Column("a", "STRING", bounds=(3,)), ["äöü", ""], ["abcd"]),
    ],
)
def test_a_column_with_bounds_holds_what_it_gives_back(column: Column, kept: list[Any], lost: list[Any]) -> None:
    assert [checker(column)(value) for value in (*kept, *lost)] == [True] * len(kept) + [False] * len(lost)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, -(2**63)], "INT64"),
        ([1, Decimal(2**63)], "NUMERIC"),  # an integer above 64 bits
        ([1, 1.5], "NUMERIC"),  # money, never a float
        ([12.0], "NUMERIC"),
        ([1e22], "NUMERIC"),
        ([Decimal("0.1234567890")], "NUMERIC"),  # nine digits, and a zero
        ([Decimal("0.1234567891")], "BIGNUMERIC"),
        ([Decimal(10) ** 28, Decimal("0.1234567891")], "JSON"),  # neither type has all these digits
        ([Decimal(10) ** 29], "JSON"),
        ([True], "BOOL"),
        ([True, 1], "JSON"),
        (["a", ""], "STRING"),
        (["12.50"], "STRING"),
        (["2026-11-10"], "DATE"),
        (["2026-02-30"], "STRING"),
        (["2026-11-10T23:30:00-05:00", "2026-11-10 23:30:00.123456Z"], "TIMESTAMP"),
        (["2026-11-10T23:30:00"], "DATETIME"),
        (["2026-11-10T23:30:00.1234567Z"], "STRING"),  # a type would cut its last digit off
        (["2026-11-10T23:30:00.123456000Z"], "TIMESTAMP"),
        (["2026-11-10", "2026-11-10T00:00:00Z"], "STRING"),
        (["2026-11-10", "soon"], "STRING"),
        (["1", 1], "JSON"),
        ([[]], "JSON"),
        ([{}], "JSON"),
        ([{"a": 1}], "JSON"),
    ],
)
def test_a_column_has_the_narrowest_type_that_gives_all_values_back(values: list[Any], expected: str) -> None:
    column = column_for("c", values)
    assert column.type == expected
    assert all(map(checker(column), values))


def test_objects_are_records_where_the_file_asks_for_that_and_their_fields_have_types() -> None:
    column = column_for("c", [{"a": 1, "b": {"c": "x"}}, {"a": 1.5, "d": None}], records=True)
    assert column.type == "STRUCT"
    assert [(field.name, field.type) for field in column.fields] == [("a", "NUMERIC"), ("b", "STRUCT")]
    fits = checker(column)
    assert fits({"a": 2, "z": None})
    assert not fits({"a": 2, "z": 1})
    assert not fits({"a": "2"})


@pytest.mark.parametrize(
    "value", [{"a b": 1}, {"a": 1, "A": 2}, {}, {"a": None}, {"a": [1]}, {str(n): n for n in range(101)}]
)
def test_an_object_that_makes_no_record_is_json(value: dict[str, Any]) -> None:
    assert column_for("c", [value], records=True).type == "JSON"


def test_a_record_in_records_ends_at_a_depth() -> None:
    value: Any = 1
    for _ in range(50):
        value = {"a": value}
    assert column_for("c", [value], records=True).type == "JSON"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("userId", "userId"),
        ("cost-usd", "cost_usd"),
        ("Cost (USD)", "Cost_USD"),
        ("a.b", "a_b"),
        ("größe", "groe"),
        ("2fa", "f_2fa"),
        ("_PARTITION_x", "f_PARTITION_x"),
        ("a`; DROP TABLE t", "a_DROP_TABLE_t"),
    ],
)
def test_a_field_keeps_its_name_as_far_as_a_column_can_have_it(field: str, expected: str) -> None:
    assert column_name(field, "", ()) == expected


@pytest.mark.parametrize("field", ["User", "", "名前", "x_run_id", "X_Org_Slug", "other_fields", "x_part"])
def test_a_name_that_is_taken_gets_digits_of_its_own(field: str) -> None:
    name = column_name(field, "", {"user", "field"})
    assert name[:-7].lower() in {"user", "field", "x_run_id", "x_org_slug", "other_fields", "x_part"}
    assert name == column_name(field, "", {"user", "field"})


@pytest.mark.parametrize("origin", [Origin('a "b" \\ c\n', "NUMERIC", "r1"), Origin("名", "", "r2")])
def test_a_description_says_which_field_a_column_holds(origin: Origin) -> None:
    assert origin_of(Column("c", "STRING", description=describe(origin))) == origin
    assert origin_of(Column("c", "STRING", description="Written by hand.")) == Origin("c")


def test_a_table_without_a_schema_file_keeps_records_as_they_came(tmp_path: Path) -> None:
    given = [{"id": 1, "Id": {"a": [None, {}]}, "odd name": Decimal("1.00000000000000000001")}, {}]

    async def body(world: LandingWorld) -> None:
        await world.land("r1", given, None)
        first, second = await world.rows("TO_JSON_STRING(record) AS text")
        assert first["text"].replace(" ", "") == '{"id":1,"Id":{"a":[null,{}]},"oddname":"1.00000000000000000001"}'
        assert second["text"] == "{}"

    in_world(tmp_path, body)


def test_keys_and_the_date_of_a_raw_table_have_columns_of_their_own(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        parts: dict[str, Any] = {"destination": {"key_fields": ["id"]}}
        await world.land("r1", [{"id": 7, "n": 1}, {"id": 8, "n": 1}], {"mode": "raw"}, **parts)
        await world.land("r2", [{"id": 7, "n": 2}], {"mode": "raw"}, **parts)
        rows = await world.rows("id, JSON_VALUE(record, '$.n') AS n")
        assert rows == [{"id": "7", "n": "2"}, {"id": "8", "n": "1"}]
        for given in ([{"id": 9}, {"uid": 10}], [{"uid": 9}, {"uid": 10}], [{"id": None}]):
            with pytest.raises(StepFailed, match="it has no id, the key that rows are merged by"):
                await world.land("r3", given, {"mode": "raw"}, **parts)
        assert await world.rows("id, JSON_VALUE(record, '$.n') AS n") == rows

    in_world(tmp_path, body)


def test_columns_are_inferred_and_money_is_exact(tmp_path: Path) -> None:
    given = [
        {"id": 1, "amount": 0.1, "at": "2026-11-10T10:00:00Z", "day": "2026-11-10", "tags": ["a"], "none": None},
        {"id": 2, "amount": Decimal("12345678901234567890.123456789"), "Cost (USD)": "x", "x_run_id": "theirs"},
    ]

    async def body(world: LandingWorld) -> None:
        landing = await world.land("r1", given, INFER)
        assert await world.types() == {
            "id": "INT64",
            "amount": "NUMERIC",
            "at": "TIMESTAMP",
            "day": "DATE",
            "tags": "JSON",
            "Cost_USD": "STRING",
            column_name("x_run_id", "", ()): "STRING",
        }
        rows = await world.rows("id, amount, x_run_id")
        assert [row["amount"] for row in rows] == [Decimal("0.1"), Decimal("12345678901234567890.123456789")]
        assert {row["x_run_id"] for row in rows} == {"r1"}
        assert "Cost_USD STRING for 'Cost (USD)'" in landing.changes()

    in_world(tmp_path, body)


def test_a_new_field_and_a_value_of_another_type_get_columns_and_are_told(tmp_path: Path) -> None:
    async def body(world: LandingWorld) -> None:
        await world.land("r1", [{"id": 1, "amount": 5}, {"id": 2, "amount": 6}], INFER)
        later = [
            {"id": 3, "amount": 7},
            {"id": 4, "amount": 7.5},
            {"id": "five", "amount": None},
            {"id": 6, "new": True},
        ]
        landing = await world.land("r2", later, INFER, NEXT)
        assert landing.changes() == [
            "amount__numeric NUMERIC for values of 'amount' that are NUMERIC",
            "id__string STRING for values of 'id' that are STRING",
            "new BOOL",
        ]
        rows = await world.rows("id, id__string, amount, amount__numeric, new", "id NULLS LAST")
        assert [tuple(row.values()) for row in rows] == [
            (1, None, 5, None, None),
            (2, None, 6, None, None),
            (3, None, 7, None, None),
            (4, None, None, Decimal("7.5"), None),
            (6, None, None, None, True),
            (None, "five", None, None, None),
        ]

    in_world(tmp_path, body)
