"""Templates: what is one, what it becomes, and how to write braces that mean themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.config.templates.template import NoValue, escape, parse, render

SCOPE = {"x": 5, "name": "value", "deep": {"a": {"b": [1]}}, "none": None, "flag": True, "a.b": "dotted"}


def filled(text: str) -> Any:
    template = parse(text)
    return text if template is None else render(template, SCOPE)


@pytest.mark.parametrize("text", ["{x}", "${x}", "{{x}}", "{ x }", "${ x }", "{{ x }}", "{{\tx\n}}"])
def test_a_text_that_is_one_template_keeps_the_type(text: str) -> None:
    assert filled(text) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{x}{name}", "5value"),
        ("a-{deep}", 'a-{"a":{"b":[1]}}'),
        ("{flag}!", "true!"),
        ("{deep.a.b}", [1]),
        ("{a.b}", "dotted"),
        ("{none}", None),
        ('{"k": {name}}', '{"k": value}'),
        ("{{{name}}}", "{value}"),
        ("${{name}}", "$value"),
        ("{{name}", "{value"),
    ],
)
def test_values_are_put_into_the_text(text: str, expected: Any) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize(
    "text", ["{}", "{0}", r"\d{4}", '{"a": 1}', "{a b}", "{a,b}", "{a-b}", "{.a}", "{a.}", "{ }", "{{}}", "$x", "{é}"]
)
def test_other_braces_mean_themselves(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\{x}", "{x}"),
        (r"\${x}", "${x}"),
        (r"\{{x}}", "{{x}}"),
        (r"\\{x}", "\\5"),
        (r"\\\{x}", "\\{x}"),
        (r"\n{x}", "\\n5"),
        (r"C:\dir\{0}", r"C:\dir\{0}"),
    ],
)
def test_a_backslash_takes_a_template_literally(text: str, expected: str) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize("text", ["{missing}", "{deep.missing}", "{x.y}", "a{none}"])
def test_a_name_without_a_value_is_reported(text: str) -> None:
    with pytest.raises(NoValue) as caught:
        filled(text)
    assert caught.value.args[0] == text.strip("a{}")


PIECES = ["{", "}", "$", "\\", " ", "a", ".", "0", '"', "{x}", "${x}", "{{x}}", "{ x }"]
BRACES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(BRACES)
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert filled(escape(text)) == text


@given(BRACES)
def test_a_filled_text_without_templates_is_never_filled_again(text: str) -> None:
    template = parse(text)
    if template is None:
        assert escape(text) == text
    else:
        assert all(part for part in template.parts)
        assert sum(len(part) for part in template.parts if isinstance(part, str)) <= len(text)
