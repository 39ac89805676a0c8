"""Pub/Sub's filter language."""

from __future__ import annotations

import pytest

from tests.emulators.pubsub_filter import BadFilter, parse_filter

ACME = {"org": "acme", "my key": "1"}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("attributes:org", True),
        ("attributes:run", False),
        ('attributes."my key" = "1"', True),
        ('attributes.org = "acme"', True),
        ('attributes.org != "acme"', False),
        ('attributes.run != "x"', True),
        ('hasPrefix(attributes.org, "ac")', True),
        ('hasPrefix(attributes.run, "")', False),
        ("NOT attributes:run AND attributes:org", True),
        ("-attributes:org OR attributes:run", False),
        ("(attributes:run OR attributes:org) AND NOT (attributes:run)", True),
    ],
)
def test_a_filter_lets_through_what_it_says(text: str, passes: bool) -> None:
    assert parse_filter(text)(ACME) is passes


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("attributes:a AND attributes:b OR attributes:c", "do not mix"),
        ('attributes.a > "1"', "cannot read"),
        ("attributes.a = 1", "in quotes"),
        ('attributes.a : "1"', "expected = or !="),
        ("attributes:", "ends too early"),
        ("attributes:a attributes:b", "goes on after its end"),
        ("(attributes:a", "ends too early"),
        ("data:a", "expected 'attributes'"),
        ("attributes:" + "a" * 250, "256 bytes"),
    ],
)
def test_what_is_not_a_filter_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(BadFilter, match=complaint):
        parse_filter(text)
