"""JSON as providers send it: fast, and without losing a digit of money."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final

import orjson

# A float holds 15 digits for certain. This many behind the point, and it may be one too many. What a quote ends is a
# text: a number in JSON never stands before one.
_LONG_NUMBER: Final = re.compile(rb'\.\d{7}\d*+(?!")')


def read_json(body: bytes, *, exact: bool = False) -> Any:
    """Return the value. Numbers with a point are Decimal with `exact`, or where a float might not hold their digits.

    Raises `ValueError` for what is no JSON.
    """
    if exact or _LONG_NUMBER.search(body) is not None:
        return json.loads(body, parse_float=Decimal)
    return orjson.loads(body)
