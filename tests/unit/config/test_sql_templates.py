"""SQL: values are parameters, identifiers are checked, everything else is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.config.sql.scanner import scan
from convergence.config.sql.statement import render_sql
from convergence.config.sql.templates import parse_expression, parse_sql
from convergence.config.sql.values import bind, type_of
from convergence.config.templates.template import NoValue
from convergence.ports.warehouse import Parameter

TYPES = {"day": "DATE", "start_ts": "TIMESTAMP", "org": "STRING", "n": "INT64"}
SCOPE: dict[str, Any] = {
    "day": "2026-01-02",
    "start_ts": "2026-01-02T00:00:00Z",
    "org": "acme'; DROP TABLE t; --",
    "n": 5,
    "table": "a-b.c.d_e",
    "dataset": "acme_prod",
    "ids": ["a", "b"],
    "price": 0.1,
    "free": "2026-01-03",
    "deep": {"a": 1},
    "none": None,
}


def filled(sql: str, **more: Any) -> tuple[str, dict[str, Any]]:
    statement = parse_sql(sql, types=TYPES, **more)
    assert not statement.mistakes
    resolved = render_sql(statement, SCOPE)
    return resolved["sql"], {name: (entry["type"], entry["value"]) for name, entry in resolved["parameters"].items()}


def mistakes(sql: str) -> list[str]:
    return [mistake.message for mistake in parse_sql(sql).mistakes]


@pytest.mark.parametrize(
    ("sql", "expected", "parameters"),
    [
        ("'{day}'", "@day", {"day": ("DATE", "2026-01-02")}),
        ('"{org}"', "@org", {"org": ("STRING", SCOPE["org"])}),
        ("'''{{ org }}'''", "@org", {"org": ("STRING", SCOPE["org"])}),
        ("r'${n}'", "@n", {"n": ("INT64", 5)}),
        ("DATE('{day}')", "@day", {"day": ("DATE", "2026-01-02")}),
        ("DATE ( '{free}' )", "@free", {"free": ("DATE", "2026-01-03")}),
        ("date '{free}'", "@free", {"free": ("DATE", "2026-01-03")}),
        ("TIMESTAMP('{start_ts}')", "@start_ts", {"start_ts": ("TIMESTAMP", SCOPE["start_ts"])}),
        ("TIMESTAMP('{day}')", "TIMESTAMP(@day)", {"day": ("DATE", "2026-01-02")}),
        ("DATE('{day}', 'UTC')", "DATE(@day, 'UTC')", {"day": ("DATE", "2026-01-02")}),
        ("NUMERIC '{price}'", "@price", {"price": ("NUMERIC", "0.1")}),
        ("PARSE_DATE('%F', '{day}')", "PARSE_DATE('%F', @day)", {"day": ("STRING", "2026-01-02")}),
        ("UNNEST('{ids}')", "UNNEST(@ids)", {"ids": ("ARRAY<STRING>", ["a", "b"])}),
        ("'{deep.a}'", "@deep_a", {"deep_a": ("INT64", 1)}),
        ("'{none}'", "@none", {"none": ("STRING", None)}),
        ("'{org}' = '{org}'", "@org = @org", {"org": ("STRING", SCOPE["org"])}),
    ],
)
def test_a_quoted_template_is_a_typed_parameter(sql: str, expected: str, parameters: dict[str, Any]) -> None:
    assert filled(f"SELECT {sql}") == (f"SELECT {expected}", parameters)


def test_one_name_with_two_types_is_two_parameters() -> None:
    sql, parameters = filled("SELECT '{day}', CONCAT('{day}', 'x')")
    assert sql == "SELECT @day, CONCAT(@day_2, 'x')"
    assert [kind for kind, _ in parameters.values()] == ["DATE", "STRING"]


def test_a_parameter_that_the_author_wrote_keeps_its_name() -> None:
    sql, parameters = filled("SELECT '{n}', @n, @other, @@row_count", given={"n"})
    assert sql == "SELECT @n_2, @n, @other, @@row_count"
    assert parameters == {"n_2": ("INT64", 5)}


def test_a_known_name_written_by_hand_is_bound() -> None:
    assert filled("SELECT @day, @unknown")[1] == {"day": ("DATE", "2026-01-02")}


def test_identifiers_stand_in_backticks() -> None:
    assert filled("SELECT 1 FROM `{dataset}.t_{n2}`, `{table}`".replace("{n2}", "x"))[0] == (
        "SELECT 1 FROM `acme_prod.t_x`, `a-b.c.d_e`"
    )


@pytest.mark.parametrize("value", ["a`b", "a b", "a.b", "", "a;b", "a.b.c", "ä", 5, ["a"]])
def test_what_is_not_an_identifier_is_refused(value: Any) -> None:
    statement = parse_sql("SELECT 1 FROM `p.{dataset}.t`")
    with pytest.raises(ValueError, match="not an identifier"):
        render_sql(statement, {"dataset": value})


@pytest.mark.parametrize("value", ["a..b", ".a", "a.b.c.d.e", "a.b`", "x' OR 1=1"])
def test_a_whole_table_name_is_checked_part_by_part(value: str) -> None:
    with pytest.raises(ValueError, match="not an identifier"):
        render_sql(parse_sql("SELECT 1 FROM `{table}`"), {"table": value})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- {x} '{y}'",
        "SELECT 1 # {x}",
        "SELECT 1 /* {x}\n `{y}` */ + 2",
        "SELECT '{}', r'\\d{4}', '{\"a\": {\"b\": 1}}', JSON '{\"a\": 1}'",
        "SELECT 'it''s', \"a'b\", 'a\\'{b c}'",
        'SELECT """a\n"b" \'c\' """',
    ],
)
def test_comments_and_literal_braces_are_left_alone(sql: str) -> None:
    assert filled(sql) == (sql, {})


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT {x}", "{x} is unquoted in SQL"),
        ("SELECT a{x}b", "is unquoted"),
        ("SELECT 'a{x}'", "only part of a quoted string"),
        ("SELECT '{x}{y}'", "only part"),
        ("SELECT b'{x}'", "only part"),
        ("SELECT 'open", "this ' is never closed"),
        ("SELECT `open", "this ` is never closed"),
        ("SELECT 1 /* open", "this /* is never closed"),
        ("SELECT 'a\nb'", "never closed"),
    ],
)
def test_anything_else_is_a_mistake(sql: str, message: str) -> None:
    assert message in mistakes(sql)[0]


def test_a_mistake_knows_its_line() -> None:
    assert [mistake.line for mistake in parse_sql("SELECT\n 1,\n {x},\n 'a{y}'").mistakes] == [2, 3]


def test_an_escaped_template_stays_in_the_text() -> None:
    assert filled(r"SELECT '\{x}', 'a \{y}'")[0] == "SELECT '{x}', 'a {y}'"


def test_an_expression_may_be_one_bare_template() -> None:
    assert render_sql(parse_expression("{org}", types=TYPES), SCOPE)["sql"] == "@org"
    assert parse_expression("{org} || 'x'").mistakes


def test_a_name_without_a_value_is_reported() -> None:
    with pytest.raises(NoValue):
        render_sql(parse_sql("SELECT '{nothing}'"), SCOPE)
    with pytest.raises(NoValue):
        render_sql(parse_sql("SELECT `{none}`"), SCOPE)


def test_a_value_that_does_not_fit_its_type_is_not_shown() -> None:
    with pytest.raises(ValueError, match="not a valid DATE") as caught:
        render_sql(parse_sql("SELECT DATE('{x}')"), {"x": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_resolved_statement_is_ready_for_the_warehouse() -> None:
    statement = parse_sql("SELECT '{day}', '{price}', '{start_ts}', '{n}', '{ids}'", types=TYPES)
    sql, parameters = bind(render_sql(statement, SCOPE))
    assert sql == "SELECT @day, @price, @start_ts, @n, @ids"
    assert parameters == {
        "day": Parameter("DATE", date(2026, 1, 2)),
        "price": Parameter("NUMERIC", Decimal("0.1")),
        "start_ts": Parameter("TIMESTAMP", datetime(2026, 1, 2, tzinfo=UTC)),
        "n": Parameter("INT64", 5),
        "ids": Parameter("ARRAY<STRING>", ["a", "b"]),
    }
    assert bind("SELECT 1") == ("SELECT 1", {})


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "BOOL"), (1, "INT64"), (0.5, "NUMERIC"), ("x", "STRING"), ([1], "ARRAY<INT64>"), ([], "ARRAY<STRING>")],
)
def test_a_json_value_has_a_type(value: Any, kind: str) -> None:
    assert type_of(value) == kind


SQL = st.text(alphabet="'\"`rRbB\\-#/*\n ({}x)@$.=1", max_size=40)


@given(SQL)
def test_the_pieces_joined_are_the_text(sql: str) -> None:
    assert "".join(piece.text for piece in scan(sql)) == sql


@given(SQL)
def test_a_statement_without_braces_and_names_is_never_changed(sql: str) -> None:
    plain = sql.replace("{", "").replace("@", "")
    assert "".join(map(str, parse_sql(plain).parts)) == plain


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_value_ever_reaches_the_text(value: str) -> None:
    resolved = render_sql(parse_sql("SELECT '{x}', CONCAT('{x}')"), {"x": value})
    assert resolved["sql"] == "SELECT @x, CONCAT(@x_2)"
