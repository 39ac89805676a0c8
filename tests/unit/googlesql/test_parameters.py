"""Query parameters of every type, and the error for a value of another type."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.errors import InvalidInput, StepFailed
from convergence.ports.warehouse import Parameter


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("INT64", "12", 12),
        ("INT64", 2**62, 2**62),
        ("NUMERIC", "1.5", Decimal("1.5")),
        ("NUMERIC", Decimal("0.000000001"), Decimal("0.000000001")),
        ("BIGNUMERIC", "1.5", Decimal("1.5")),
        ("FLOAT64", 1, 1.0),
        ("STRING", "it's", "it's"),
        ("BOOL", False, False),
        ("BYTES", b"\x00a", b"\x00a"),
        ("DATE", "2026-01-31", date(2026, 1, 31)),
        ("TIME", "10:00:00", time(10)),
        ("DATETIME", "2026-01-31 10:00:00", datetime(2026, 1, 31, 10)),
        ("TIMESTAMP", "2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("JSON", {"a": [1, None]}, {"a": [1, None]}),
        ("ARRAY<STRING>", [], []),
        ("ARRAY<DATE>", ["2026-01-31"], [date(2026, 1, 31)]),
        ("ARRAY<STRING>", None, []),
        ("STRUCT<a INT64, b ARRAY<STRING>>", {"b": ["x"], "a": "1"}, {"a": 1, "b": ["x"]}),
        ("STRUCT<a INT64, b STRING>", {"a": 1}, {"a": 1, "b": None}),
        ("ARRAY<STRUCT<k STRING, v NUMERIC>>", [{"k": "x", "v": "1.5"}], [{"k": "x", "v": Decimal("1.5")}]),
        ("STRUCT<a STRUCT<b DATE>>", {"a": {"b": "2026-01-31"}}, {"a": {"b": date(2026, 1, 31)}}),
    ],
)
def test_a_parameter_arrives_as_its_type(sql: GoogleSql, kind: str, given: Any, expected: Any) -> None:
    assert sql.value("@p", p=Parameter(kind, given)) == expected


def test_an_array_with_null_may_be_given_but_not_returned(sql: GoogleSql) -> None:
    given = Parameter("ARRAY<INT64>", [1, None])
    assert sql.value("ARRAY_LENGTH(@p)", p=given) == 2
    with pytest.raises(StepFailed, match="The array 'f0_' of the result holds NULL"):
        sql.value("@p", p=given)


def test_fields_and_elements_of_parameters_are_reached(sql: GoogleSql) -> None:
    plan = Parameter("STRUCT<name STRING, seats ARRAY<INT64>>", {"name": "team", "seats": [3, 4]})
    prices = Parameter("ARRAY<STRUCT<k STRING, v NUMERIC>>", [{"k": "team", "v": "2.5"}])
    found = sql.query(
        "SELECT @plan.name, @plan.seats[OFFSET(1)] AS last, v * 2 AS twice FROM UNNEST(@prices) WHERE k = @plan.name",
        {"plan": plan, "prices": prices},
    )
    assert found.rows == [{"name": "team", "last": 4, "twice": Decimal(5)}]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("INT64", "x", r"@p: 'x' is not an INT64"),
        ("INT64", 1.0, r"@p: 1.0 is not an INT64"),
        ("ARRAY<INT64>", [1, "x"], r"@p: 'x' is not an INT64"),
        ("ARRAY<INT64>", "1", r"@p: ARRAY<INT64> takes a list"),
        ("ARRAY<ARRAY<INT64>>", [[1]], "that does not contain lists"),
        ("STRUCT<a INT64>", {"aa": 1}, r"@p: STRUCT<a INT64> has no field 'aa'"),
        ("STRUCT<a INT64>", {"a": "x"}, r"@p\.a: 'x' is not an INT64"),
        ("STRUCT<a INT64>", [1], "takes an object"),
        ("STRUCT<INT64>", {"_field_1": 1}, "need names"),
        ("STRUCT<at TIMESTAMP>", {"at": datetime(2026, 1, 1)}, r"@p\.at: a TIMESTAMP needs a time zone"),
        ("STRNG", "x", "Did you mean 'STRING'"),
    ],
)
def test_a_value_of_another_type_is_refused_by_the_parameters_name(
    sql: GoogleSql, kind: str, given: Any, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        sql.value("@p", p=Parameter(kind, given))
