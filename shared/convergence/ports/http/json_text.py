"""JSON as providers send it: fast, and with every digit of its numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, Final

import orjson

_FLOAT_DIGITS: Final = 15  # significant digits that a float gives back unchanged (DBL_DIG, IEEE 754 double)
_EXPONENT_DIGITS: Final = 2  # of an exponent that is safe from overflow and underflow
_INT64: Final = range(-(2**63), 2**63)
_INT64_DIGITS: Final = 19  # with a first digit below 9 it fits

# All signs of a number become '0', a minus stays, the rest are spaces. So a run of zeros shows where a long number may
# be, and a minus between them an exponent that underflows (one that overflows is refused as it is).
_SHAPE: Final = bytes(
    ord("0") if sign in b"0123456789.eE" else sign if sign == ord("-") else ord(" ") for sign in range(256)
)
_LONG: Final = b"0" * (_FLOAT_DIGITS + 2)  # with the point; an integer above 64 bits is longer
_RUN: Final = re.compile(_LONG + b"0*+")
_SMALL: Final = b"00-000"
_UNDERFLOW: Final = re.compile(rb"[eE]-[0-9]{3,}+(?=[\s,\]}]|$)")
# A number that is not followed by a quote: outside of strings. Possessive, so the time is linear in its length.
_NUMBER: Final = re.compile(rb"([0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+)(?=[\s,\]}]|$)")

_KEY: Final = re.compile(rb'"[ \t\r\n]*+:')  # the end of a key; also found in strings with an escaped quote

_TEXT_OR_NUMBER: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+')


def read_json(body: bytes, *, exact: bool = False) -> Any:
    """Return the value of a JSON text.

    Integers of 64 bits are int, all others Decimal. A number with a point or an exponent is a float when a float
    reproduces its digits unchanged (at most 15 significant ones), else Decimal; with `exact` it always is Decimal.

    Raises `ValueError` for what is not JSON, and for a number beyond the range of floats (1e309).
    """
    value = orjson.loads(body)  # first, because it refuses what the standard library accepts (NaN, surrogates)
    if not exact and not has_long_number(body):
        return value
    try:
        return json.loads(body, parse_float=Decimal if exact else _real, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def write_json(value: Any) -> str:
    """Return a value of `read_json` as JSON text with sorted keys and all its digits; other types as their `str`."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def has_long_number(body: bytes) -> bool:
    """Whether a number needs Decimal; linear in the body, and cheap where no number is long."""
    shape = body.translate(_SHAPE)
    if _SMALL in shape and _UNDERFLOW.search(body) is not None:
        return True
    for run in _RUN.finditer(shape) if _LONG in shape else ():
        start, end = run.span()
        digits = body[start:end]
        if len(digits) <= _INT64_DIGITS and digits < b"9" and digits.isdigit():
            continue  # most often a time in nanoseconds
        number = _NUMBER.match(body, start)
        if number is not None:
            text = number[1].decode()
            if isinstance(_whole(text) if text.isdigit() else _real(text), Decimal):
                return True
    return False


def twin_key(body: bytes) -> str | None:
    """Return a key that one object of a JSON text has more than once: all but one of its values would be lost.

    None if there is no such key. Nearly as fast as parsing the text: only keys are counted.

    Raises `ValueError` for what is not JSON, and for a number beyond the range of floats.
    """
    if len(_KEY.findall(body)) == _keys(orjson.loads(body)):
        return None
    twins: list[str] = []
    try:
        json.loads(body, object_pairs_hook=lambda pairs: twins.extend(_twins(pairs)))
    except RecursionError:
        return None
    return twins[0] if twins else None


def _keys(value: Any) -> int:
    """Return how many keys a value has, those of values in it included."""
    if isinstance(value, dict):
        count = len(value)
        value = value.values()
    elif isinstance(value, list):
        count = 0
    else:
        return 0
    for each in value:
        if type(each) is dict or type(each) is list:
            count += _keys(each)
    return count


def _twins(pairs: list[tuple[str, Any]]) -> list[str]:
    counted = Counter(key for key, _ in pairs)
    return [key for key, count in counted.items() if count > 1]


def quote_long_numbers(body: bytes) -> bytes:
    """Return a JSON text, in which each number that has more digits than a float, or does not fit an int64, is a string
    with all its digits. Text that is not JSON is returned unchanged, or nearly so."""
    return _TEXT_OR_NUMBER.sub(lambda found: _exact(found[0]), body)


def _exact(token: bytes) -> bytes:
    if token.startswith(b'"') or len(token) <= _FLOAT_DIGITS:
        return token
    text = token.decode()
    number = _whole(text) if text.lstrip("-").isdigit() else _real(text)
    return b'"' + token + b'"' if isinstance(number, Decimal) else token


def _whole(text: str) -> int | Decimal:
    if len(text) > _INT64_DIGITS + 1:  # with the sign; int() has a limit of its own
        return Decimal(text)
    number = int(text)
    return number if number in _INT64 else Decimal(text)


def _real(text: str) -> float | Decimal:
    digits, _, exponent = text.lower().partition("e")
    if not exponent and len(text) <= _FLOAT_DIGITS:
        return float(text)
    significant = digits.replace(".", "").lstrip("-0")
    short = len(significant) <= _FLOAT_DIGITS and len(exponent.lstrip("+-")) <= _EXPONENT_DIGITS
    return float(text) if short else Decimal(text)


def _plain(value: Any) -> Any:
    return orjson.Fragment(str(value)) if isinstance(value, Decimal) and value.is_finite() else str(value)
