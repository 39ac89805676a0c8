"""The conversion of values to column types that quarantine, filter and load all use.

A value is a JSON value, Decimal, date, time, datetime or bytes. A column also accepts other types that
convert without loss: a number accepts its text, a STRING any value as JSON text.

Times with an offset are instants. A column without a zone (DATE, DATETIME) gets them in UTC, so the day of
`2026-11-10T23:30:00-05:00` is the 11th; times without an offset are UTC. A second has six digits, further ones are
cut off. Numbers are rounded half away from zero to
the digits that the type has after the decimal point, as BigQuery does. NaN and infinity are not numbers.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

import orjson

from convergence.ports.column_bounds import DECIMALS, whole_and_places, with_bounds
from convergence.ports.warehouse import Column

ALIASES: Final = {
    "INT": "INT64",
    "INTEGER": "INT64",
    "SMALLINT": "INT64",
    "BIGINT": "INT64",
    "TINYINT": "INT64",
    "BYTEINT": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
    "RECORD": "STRUCT",
}
# Patterns for strings, in the syntax that Python and RE2 share: the embedded warehouse uses the same ones.
_BLANKS: Final = r"[ \t\n\r\f\v]*"
NUMBER: Final = rf"{_BLANKS}[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{{1,4}})?{_BLANKS}"
_POWER: Final = r"[eE]\+?[0-9]{1,2}"
WHOLE: Final = rf"{_BLANKS}[+-]?[0-9]+(\.0*|(\.[0-9]{{0,17}})?{_POWER})?{_BLANKS}"  # may still have a fraction
DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
FRACTION: Final = r"\.[0-9]{1,9}"  # of a second
MICROSECONDS: Final = r"\.[0-9]{1,6}0{0,3}"  # the same without a digit that columns do not store
CLOCK: Final = rf"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]({FRACTION})?)?"
OFFSET: Final = r"[Zz]| UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?"
MOMENT: Final = rf"{DAY}([Tt ]{CLOCK}({OFFSET})?)?"
BASE64: Final = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

_INT64: Final = range(-(2**63), 2**63)
_EXACT: Final = Context(prec=100)
# Digits before the decimal point, after it, and those after it that are sent: BIGNUMERIC is narrower on a laptop.
_DIGITS: Final = {"NUMERIC": (29, 9, 9), "BIGNUMERIC": (20, 18, 38)}


def type_name(column: Column) -> str:
    """Return the plain GoogleSQL name: `INTEGER` is INT64, `NUMERIC(10, 2)` is NUMERIC."""
    name = column.type.upper().partition("(")[0].strip()
    return ALIASES.get(name, name)


def declared_type(column: Column) -> str:
    """Return the GoogleSQL type with its bounds: `NUMERIC(10, 2)`, `STRING(20)`."""
    return with_bounds(type_name(column), column.bounds)


def convert(column: Column, value: Any) -> Any:
    """Return a value as every warehouse stores it for the column; None for no value.

    Exact numbers, times and bytes (base64) are text; a JSON column keeps its value as it is.

    Raises:
        ValueError: the value does not fit, or is missing and REQUIRED.
    """
    if column.mode == "REPEATED":
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise ValueError("not a list")
        return [_present(_single(column, each)) for each in value]
    found = _single(column, value)
    return _present(found) if column.mode == "REQUIRED" else found


def day_of(value: Any) -> date:
    """Return the day of a date or time, in UTC. Raises `ValueError` for anything else."""
    return _moment(value).date()


def text_of(value: Any) -> str:
    """Return a value as a STRING column stores it: a string as it is, an object or a list as JSON with all digits.

    Raises `ValueError` for a value that JSON cannot represent.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, date | time):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z).decode()
    except TypeError as error:
        raise ValueError("not a JSON value") from error


def unknown_field(column: Column, value: Any, path: str = "") -> str | None:
    """Return the path of the first field that the STRUCT column does not have; None when it has them all."""
    path = path or column.name
    if column.mode == "REPEATED" and isinstance(value, list | tuple):
        single = replace(column, mode="NULLABLE")
        return next((found for each in value if (found := unknown_field(single, each, path))), None)
    if type_name(column) != "STRUCT" or not isinstance(value, Mapping):
        return None
    fields = {field.name: field for field in column.fields}
    for name, inner in value.items():
        if name not in fields:
            return f"{path}.{name}"
        if found := unknown_field(fields[name], inner, f"{path}.{name}"):
            return found
    return None


def _present(value: Any) -> Any:
    if value is None:
        raise ValueError("no value")
    return value


def _single(column: Column, value: Any) -> Any:
    name = type_name(column)
    if value is None or name == "JSON":
        return value
    if name == "STRUCT":
        if not isinstance(value, Mapping):
            raise ValueError("not an object")
        return {field.name: convert(field, value.get(field.name)) for field in column.fields}
    found = _CONVERT[name](value)
    return _bounded(name, column.bounds, found) if column.bounds else found


def _bounded(name: str, bounds: tuple[int, ...], value: str) -> str:
    """Return a converted value within its column's bounds. Raises `ValueError` for a longer text or number."""
    if name not in DECIMALS:
        length = len(b64decode(value)) if name == "BYTES" else len(value)
        if length > bounds[0]:
            raise ValueError("too long")
        return value
    whole, places = whole_and_places(bounds)
    number = _rounded(Decimal(value), places)
    if _magnitude(number) > whole:
        raise ValueError("too large")
    return f"{number.normalize(_EXACT):f}"


def _plain(value: Any) -> Any:
    """Return what orjson does not know itself; an exact number stays a number, with its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value)) if value.is_finite() else str(value)
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise ValueError("neither true nor false")


def _number(value: Any, pattern: str = NUMBER) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise ValueError("not a number")
    text = str(value)
    if re.fullmatch(pattern, text, re.ASCII) is None:
        raise ValueError("not a number")
    return Decimal(text.strip())


def _int64(value: Any) -> str:
    number = _number(value, WHOLE)
    if _magnitude(number) > 19 or number != number.to_integral_value() or int(number) not in _INT64:
        raise ValueError("not a whole number of 64 bits")
    return str(int(number))


def _float64(value: Any) -> float:
    number = float(_number(value))
    if not math.isfinite(number):
        raise ValueError("larger than any float")
    return number


def _exact(name: str) -> Callable[[Any], str]:
    whole, behind, sent = _DIGITS[name]

    def exact(value: Any) -> str:
        number = _number(value)
        if _magnitude(number) > whole or _rounded(number, behind).copy_abs() >= Decimal(10) ** whole:
            raise ValueError("too large")
        return f"{_rounded(number, sent).normalize(_EXACT):f}"

    return exact


def _magnitude(number: Decimal) -> int:
    """Return the digits before the point; 0 or less for a number below 1, however it is written."""
    return number.adjusted() + 1 if number else 0


def _rounded(number: Decimal, digits: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_EXACT)


def _moment(value: Any) -> datetime:
    """Return a moment in UTC, without zone."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the result is without zone
    elif isinstance(value, str) and re.fullmatch(MOMENT, value, re.ASCII) is not None:
        moment = datetime.fromisoformat(value.upper().replace(" UTC", "Z"))
    else:
        raise ValueError("not a date or time")
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("before the year 1 or after 9999") from error


def _time(value: Any) -> str:
    text = value.isoformat() if isinstance(value, time) and value.tzinfo is None else value
    if not isinstance(text, str) or re.fullmatch(CLOCK, text, re.ASCII) is None:
        raise ValueError("not a time")
    return time.fromisoformat(text).isoformat()


def _bytes(value: Any) -> str:
    if isinstance(value, bytes):
        return text_of(value)
    if not isinstance(value, str) or re.fullmatch(BASE64, value, re.ASCII) is None:
        raise ValueError("not base64")
    return value


def _interval(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "STRING": text_of,
    "BOOL": _bool,
    "INT64": _int64,
    "FLOAT64": _float64,
    "NUMERIC": _exact("NUMERIC"),
    "BIGNUMERIC": _exact("BIGNUMERIC"),
    "DATE": lambda value: _moment(value).date().isoformat(),
    "DATETIME": lambda value: _moment(value).isoformat(),
    "TIMESTAMP": lambda value: _moment(value).isoformat() + "Z",
    "TIME": _time,
    "BYTES": _bytes,
    "INTERVAL": _interval,
}
