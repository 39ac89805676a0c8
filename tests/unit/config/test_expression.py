"""The language of `when`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.config.conditions.expression import (
    Expression,
    Items,
    Literal,
    Name,
    Operation,
    evaluate,
    names,
    parse,
    unparse,
)
from convergence.errors import ConfigError, StepFailed

PARAMETERS = {"mode": "full", "rows": 3, "flag": True, "off": "false", "when": "2026-01-02"}
RESULTS = {"extract-a": {"rows_written": 12, "kinds": ["a", "b"], "note": None}}


def holds(text: str) -> bool:
    return evaluate(text, parameters=PARAMETERS, results=RESULTS)


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "parameters.flag",
        "not parameters.off",
        "parameters.mode == 'full'",
        'parameters.mode = "full"',
        "'{mode}' == 'full'",
        "{mode} <> 'x' AND {rows} >= 3",
        "parameters.rows < 3.5 and parameters.rows in [1, 2, 3]",
        "results.extract-a.rows_written > 0",
        "'a' in results.extract-a.kinds",
        "'c' not in results.extract-a.kinds",
        "'ul' in parameters.mode",
        "results.extract-a.note == null",
        "results.other.rows == null",
        "not (results.other.rows > 0)",
        "parameters.missing == null or parameters.rows == 1",
        "false or not false and true",
        "parameters.when >= '2026-01-01'",
        r"'it\'s' == " + '"it\'s"',
        "not not true",
        "null not in parameters.mode or true",
    ],
)
def test_what_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "false",
        "null",
        "parameters.missing",
        "parameters.mode == 'FULL'",
        "parameters.rows == '3'",
        "parameters.flag == 1",
        "'x' in parameters.missing",
        "true and false or false",
        "not (true or false)",
        "results.other.rows < 5",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    "text", ["parameters.mode", "parameters.rows", "parameters.mode > 3", "1 in parameters.rows", "parameters.flag < 2"]
)
def test_what_cannot_be_decided_fails_the_step(text: str) -> None:
    with pytest.raises(StepFailed, match="when:"):
        holds(text)


def test_and_or_stop_at_the_first_that_decides() -> None:
    assert not holds("false and parameters.mode > 3")
    assert holds("true or parameters.mode > 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a value is expected"),
        ("mode == 'x'", "'mode' is not a name"),
        ("results.step == 1", "'results.step' is not a name"),
        ("f(1)", "'f' is not a name"),
        ("1 == 2 == 3", "'==' is not expected"),
        ("(1 == 1", "')' is expected"),
        ("[1, 2", "',' is expected"),
        ("1 not 2", "`in` is expected after `not`"),
        ("'open", "nothing here begins with"),
        ("1 ; 2", "nothing here begins with ';'"),
        ("(" * 40 + "1" + ")" * 40, "nested deeper"),
        ("[" * 40, "nested deeper"),
        ("1 == " + "1" * 3000, "at most 2000 characters"),
        ("12abc == 1", "nothing here begins with '1'"),
    ],
)
def test_what_is_not_a_condition_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_the_names_of_a_condition_are_found() -> None:
    found = {name.path for name in names(parse("{a} == 1 and not parameters.b in [results.c.d, variables.e]"))}
    assert found == {("", "a"), ("parameters", "b"), ("results", "c", "d"), ("variables", "e")}


WORD = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
VALUES: st.SearchStrategy[Expression] = st.one_of(
    st.builds(Literal, st.none() | st.booleans() | st.integers(-999, 999) | st.text("ab'\"\\{} é", max_size=6)),
    st.builds(lambda name: Name(("parameters", name)), WORD),
    st.builds(lambda step, key: Name(("results", step, key)), WORD, WORD),
)


def _larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.builds(Operation, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), pair),
        st.builds(Operation, st.sampled_from(["and", "or"]), st.tuples(inner, inner, inner)),
        st.builds(lambda one: Items((one,)), VALUES),
    )


@given(st.recursive(VALUES, _larger, max_leaves=8))
def test_a_written_expression_is_read_back(expression: Expression) -> None:
    try:
        assert parse(unparse(expression)) == expression
    except ConfigError as error:
        assert "nested deeper" in str(error) or "characters" in str(error)  # noqa: PT017 - the only ways to fail


@given(st.text(max_size=40))
def test_no_text_does_more_than_fail_to_parse(text: str) -> None:
    try:
        parsed: Any = parse(text)
    except ConfigError:
        return
    assert parse(unparse(parsed)) == parsed
