"""Arithmetic, dates and JSON against Python's own, on whatever values come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.unit.googlesql.conftest import GoogleSql

from convergence.ports.warehouse import Parameter

PLACES = Decimal("0.000000001")
numerics = st.decimals(-(10**15), 10**15, places=9)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
few = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def g() -> Iterator[GoogleSql]:
    sql = GoogleSql()
    yield sql
    sql.close()


def rounded(value: Decimal) -> Decimal:
    return value.quantize(PLACES, rounding=ROUND_HALF_UP)


def numeric(value: Decimal) -> Parameter:
    return Parameter("NUMERIC", value)


@few
@given(a=numerics, b=numerics)
def test_sums_and_differences_are_exact(g: GoogleSql, a: Decimal, b: Decimal) -> None:
    found = g.value("STRUCT(@a + @b AS s, @a - @b AS d)", a=numeric(a), b=numeric(b))
    assert found == {"s": a + b, "d": a - b}


@few
@given(a=st.decimals(-(10**9), 10**9, places=9), b=st.decimals(-(10**9), 10**9, places=9))
def test_products_are_rounded_half_away_from_zero_at_nine_places(g: GoogleSql, a: Decimal, b: Decimal) -> None:
    with localcontext(prec=60):
        assert g.value("@a * @b", a=numeric(a), b=numeric(b)) == rounded(a * b)


@few
@given(a=numerics, b=numerics)
def test_quotients_are_rounded_half_away_from_zero_at_nine_places(g: GoogleSql, a: Decimal, b: Decimal) -> None:
    with localcontext(prec=80):
        assume(b != 0 and abs(a / b) < Decimal(10) ** 28)
        expected = rounded(a / b)
    assert g.value("@a / @b", a=numeric(a), b=numeric(b)) == expected


@few
@given(values=st.lists(numerics, min_size=1, max_size=8))
def test_the_average_of_numerics_is_the_rounded_quotient(g: GoogleSql, values: list[Decimal]) -> None:
    with localcontext(prec=60):
        expected = rounded(sum(values, Decimal(0)) / len(values))
    sql = "(SELECT AVG(x) FROM UNNEST(@values) AS x)"
    assert g.value(sql, values=Parameter("ARRAY<NUMERIC>", values)) == expected


@few
@given(a=numerics, places=st.integers(0, 8))
def test_rounding_takes_any_number_of_places(g: GoogleSql, a: Decimal, places: int) -> None:
    expected = a.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    assert g.value("ROUND(@a, @places)", a=numeric(a), places=Parameter("INT64", places)) == expected


@few
@given(a=numerics)
def test_a_numeric_survives_being_text(g: GoogleSql, a: Decimal) -> None:
    text = g.value("CAST(@a AS STRING)", a=numeric(a))
    assert Decimal(text) == a
    assert not text.endswith(".") and not ("." in text and text.endswith("0"))  # noqa: PT018 - one thought
    assert g.value("CAST(@text AS NUMERIC)", text=Parameter("STRING", text)) == a


@few
@given(day=st.dates(date(1900, 1, 1), date(2200, 12, 31)), days=st.integers(-5000, 5000))
def test_days_added_are_days_between(g: GoogleSql, day: date, days: int) -> None:
    parameters = {"day": Parameter("DATE", day), "days": Parameter("INT64", days)}
    moved = "DATE_ADD(@day, INTERVAL @days DAY)"
    sql = f"STRUCT({moved} AS moved, DATE_DIFF({moved}, @day, DAY) AS back)"
    found = g.value(sql, **parameters)
    assert found == {"moved": date.fromordinal(day.toordinal() + days), "back": days}


@few
@given(day=st.dates(date(1900, 1, 1), date(2200, 12, 31)))
def test_parts_of_a_date_are_those_of_the_calendar(g: GoogleSql, day: date) -> None:
    sql = (
        "STRUCT(EXTRACT(ISOWEEK FROM @d) AS w, EXTRACT(ISOYEAR FROM @d) AS y, EXTRACT(DAYOFWEEK FROM @d) AS n,"
        " DATE_TRUNC(@d, WEEK) AS s, EXTRACT(WEEK FROM @d) AS u, FORMAT_DATE('%F', @d) AS f)"
    )
    year, week, weekday = day.isocalendar()
    sunday = date.fromordinal(day.toordinal() - weekday % 7)
    expected: dict[str, Any] = {"w": week, "y": year, "n": weekday % 7 + 1, "s": sunday}
    assert g.value(sql, d=Parameter("DATE", day)) == expected | {"u": int(day.strftime("%U")), "f": day.isoformat()}


@few
@given(at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_a_timestamp_is_an_instant(g: GoogleSql, at: datetime) -> None:
    instant = at.replace(tzinfo=UTC)
    parameter = Parameter("TIMESTAMP", instant)
    assert g.value("TIMESTAMP_MICROS(UNIX_MICROS(@at))", at=parameter) == instant
    assert g.value("DATETIME(@at, 'Asia/Tokyo')", at=parameter) == instant.astimezone(ZoneInfo("Asia/Tokyo")).replace(
        tzinfo=None
    )


@few
@given(value=json_values)
def test_json_survives_being_text(g: GoogleSql, value: Any) -> None:
    text = json.dumps(value)
    assert g.value("PARSE_JSON(@text)", text=Parameter("STRING", text)) == value
    assert json.loads(g.value("TO_JSON_STRING(PARSE_JSON(@text))", text=Parameter("STRING", text))) == value


@few
@given(key=st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=10), value=texts)
def test_a_member_is_found_by_its_key(g: GoogleSql, key: str, value: str) -> None:
    document = Parameter("STRING", json.dumps({key: value}))
    assert g.value(f"JSON_VALUE(@document, '$.\"{key}\"')", document=document) == value
