"""JSON as providers send it, with every digit of its numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.processors.json_text import read_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 0.1234567}', {"a": Decimal("0.1234567")}),
        (b"[-12.12345678901234567890]", [Decimal("-12.12345678901234567890")]),
        (b'{"a":1.12345678e2,"b":1}', {"a": Decimal("112.345678"), "b": 1}),
        (b"0.1234567", Decimal("0.1234567")),
    ],
)
def test_a_number_of_many_digits_keeps_them(body: bytes, value: object) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize("body", [b'{"a": "0.1234567", "b": 0.5}', b'["-1.12345678"]', b'{"a": 0.25}'])
def test_short_numbers_and_texts_stay_on_the_quick_way(body: bytes) -> None:
    found = read_json(body)
    values = found.values() if isinstance(found, dict) else found
    assert not any(isinstance(value, Decimal) for value in values)
