"""JSON as providers send it, with every digit of its numbers."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.ports.http.json_text import read_json, write_json


@pytest.mark.parametrize(
    "number",
    [
        "12345678901.123456",
        "99999999999.999999",
        "9007199254740993.5",
        "12345678901234567890123",
        "9" * 300,
        "-12345678901234567890123",
        "18446744073709551616",
        "9223372036854775808",
        "-12.12345678901234567890",
        "0.1000000000000000055511151231257827",
        "1234567890123456e-3",
        "1.2345678901234567e+10",
        "1e-400",
    ],
)
@pytest.mark.parametrize("body", ['{"a": %s, "b": 1}', "[%s]", '{"a":%s}', "%s", '["x",%s\n]'])
def test_a_number_keeps_all_its_digits(number: str, body: str) -> None:
    found = read_json((body % number).encode())
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found]
    (kept,) = [value for value in values if isinstance(value, Decimal)]
    assert kept == Decimal(number)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "0.12345678901234567", "b": 0.5}',
        b'["12345678901234567890123"]',
        b'{"a": 0.123456789012345}',
        b'{"a": 123456789.012345, "b": 1e22}',
        b'{"at": 1700000000000000000, "max": 9223372036854775807, "min": -9223372036854775808}',
        b'{"id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "day": "2026-11-10"}',
    ],
)
def test_short_numbers_and_texts_are_not_decimal(body: bytes) -> None:
    found = read_json(body)
    values = found.values() if isinstance(found, dict) else found
    assert not any(isinstance(value, Decimal) for value in values)


def test_the_type_of_a_number_does_not_depend_on_its_neighbours() -> None:
    short, _ = read_json(b"[0.25, 12345678901.123456]")
    assert isinstance(short, float)


def test_exact_makes_every_number_with_a_point_decimal() -> None:
    assert repr(read_json(b'{"a": 0.10, "b": 2}', exact=True)) == "{'a': Decimal('0.10'), 'b': 2}"


Number = st.one_of(
    st.decimals(-(10**30), 10**30, allow_nan=False).map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.tuples(st.integers(-(10**18), 10**18), st.integers(-320, 280)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
    st.text("0123456789", min_size=1, max_size=30).map(lambda digits: f"0.{digits}"),
)


@given(st.lists(Number, min_size=1, max_size=5))
def test_every_number_is_the_one_that_was_sent(numbers: list[str]) -> None:
    found = read_json(f"[{', '.join(numbers)}]".encode())
    assert [Decimal(str(value)) for value in found] == [Decimal(number) for number in numbers]


@pytest.mark.parametrize("body", [b"[NaN, 12345678901.123456]", b'["\\ud800", 12345678901.123456]', b"[1", b""])
def test_what_is_not_json_is_refused_beside_a_long_number_too(body: bytes) -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        read_json(body)


def test_deep_nesting_with_a_long_number_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ValueError, match="deep"):
        read_json(b"[" * 1_020 + b"12345678901.123456" + b"]" * 1_020)


@pytest.mark.parametrize("piece", [b"1", b"1e", b",1", b"-0", b"1.", b"e-300", b" 9", b"1e-1"])
def test_the_search_for_long_numbers_is_linear(piece: bytes) -> None:
    def cpu_s(times: int) -> float:
        body = b'["' + piece * times + b'"]'
        started = time.process_time()
        read_json(body)
        return time.process_time() - started

    few, many = (min(cpu_s(times) for _ in range(3)) for times in (20_000, 320_000))
    assert many < 64 * max(few, 1e-4)  # 16 times the text: a quadratic search takes 256 times the processor's time


def test_written_json_keeps_digits_and_sorts_keys() -> None:
    value = read_json(b'{"b": 12345678901.123456, "a": [12345678901234567890123]}')
    assert write_json(value) == '{"a":[12345678901234567890123],"b":12345678901.123456}'
