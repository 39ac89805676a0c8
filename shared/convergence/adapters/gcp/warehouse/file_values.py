"""From the text of a file to the value of a column, in GoogleSQL: NULL if the text is not a valid value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.row_files import CLOCKS
from convergence.ports.column_bounds import DECIMALS, whole_and_places
from convergence.ports.column_values import CLOCK, DAY, FRACTION, MICROSECONDS, MOMENT, NUMBER, WHOLE, type_name
from convergence.ports.warehouse import Column, RowFile

_SCALE: Final = {"NUMERIC": 9, "BIGNUMERIC": 38}
_BEHIND: Final = (
    r"LENGTH(RTRIM(IFNULL(REGEXP_EXTRACT($x, r'\.([0-9]*)'), ''), '0'))"
    r" - IFNULL(SAFE_CAST(REGEXP_EXTRACT($x, r'[eE]([+-]?[0-9]+)') AS INT64), 0)"
)


def text_of(source: str, kind: SqlType, file: RowFile) -> str:
    """Return the SQL of a value as text: JSON for what is nested, base64 for bytes, NULL for what means no value."""
    if kind.name == "BYTES":
        return f"TO_BASE64({source})"
    if kind.name in {"ARRAY", "STRUCT", "JSON"}:
        return f"IF({source} IS NULL, NULL, TO_JSON_STRING({source}))"
    if kind.name != "STRING":
        return f"CAST({source} AS STRING)"
    for null in file.nulls:
        source = f"NULLIF({source}, {quoted(null)})"
    return source


def in_record(line: str, keys: Sequence[str]) -> str:
    """Return the SQL of what `keys` lead to in a record, a JSON text, as text: NULL for null, JSON if it is nested."""
    path = quoted("$" + "".join('."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"' for key in keys))
    return f"IFNULL(JSON_VALUE({line}, {path}), NULLIF(JSON_QUERY({line}, {path}), 'null'))"


def json_of(source: str, kind: SqlType, file: RowFile) -> str:
    """Return the SQL of a value as JSON, NULL for no value. A number that a float does not hold is a text."""
    text = text_of(source, kind, file)
    if kind.name in {"INT64", "BOOL"}:
        return text
    if kind.name == "FLOAT64":
        return f"IF(IS_NAN({source}) OR IS_INF({source}), TO_JSON_STRING({text}), {text})"
    if kind.name in _SCALE:
        digits = f"LENGTH(LTRIM(REPLACE(REPLACE({text}, '-', ''), '.', ''), '0'))"
        return f"IF({digits} <= 15, {text}, TO_JSON_STRING({text}))"
    is_json = kind.name in {"ARRAY", "STRUCT", "JSON", "MAP"}
    return text if is_json else f"IF({text} IS NULL, NULL, TO_JSON_STRING({text}))"


def value_of(column: Column, text: str, file: RowFile) -> str:
    """Return the SQL of the value that `text` (SQL) is for the column."""
    name = type_name(column)
    value = _VALUES[name].replace("$x", text)
    if name in CLOCKS and file.digits == "refuse":
        value = value.replace(FRACTION, MICROSECONDS)
    if column.name in file.formats:
        parsed = f"SAFE.PARSE_TIMESTAMP({quoted(file.formats[column.name])}, {text})"
        value = parsed if name == "TIMESTAMP" else f"{name}({parsed})"
    elif name in _SCALE and file.digits == "refuse":
        places = whole_and_places(column.bounds)[1] if column.bounds else _SCALE[name]
        value = f"IF({_BEHIND.replace('$x', text)} <= {places}, {value}, NULL)"
    if column.bounds:
        value = _within(column, value)
    if column.name in file.between and file.outside == "bad":
        first, last = file.between[column.name]
        value = f"IF(DATE({value}) BETWEEN DATE '{first}' AND DATE '{last}', {value}, NULL)"
    allowed = file.allowed.get(column.name)
    return value if allowed is None else f"IF({text} IN ({', '.join(map(quoted, allowed))}), {value}, NULL)"


def _within(column: Column, value: str) -> str:
    """Return the SQL of a value within its column's bounds, NULL for one that is longer."""
    name = type_name(column)
    if name not in DECIMALS:
        length = "BYTE_LENGTH" if name == "BYTES" else "CHAR_LENGTH"
        return f"IF({length}({value}) <= {column.bounds[0]}, {value}, NULL)"
    whole, places = whole_and_places(column.bounds)
    rounded, most = f"ROUND({value}, {places})", f"{name} '{10**whole - 1}.{'9' * places}'"
    return f"IF(ABS({rounded}) <= {most}, {rounded}, NULL)"


def quoted(text: str) -> str:
    """Return `text` as a string literal of GoogleSQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _if(pattern: str, value: str) -> str:
    return f"IF(REGEXP_CONTAINS($x, r'^(?:{pattern})$'), {value}, NULL)"


# BigQuery takes six digits of a second at most.
_SIX_DIGITS: Final = r"REGEXP_REPLACE($x, r'(\.[0-9]{6})[0-9]+', r'\1')"
_INSTANT: Final = f"SAFE_CAST(REPLACE(UPPER({_SIX_DIGITS}), ' UTC', 'Z') AS TIMESTAMP)"
_VALUES: Final = {
    "STRING": "$x",
    "JSON": "IF(SAFE.PARSE_JSON($x) IS NULL, NULL, $x)",  # staged as text
    "INT64": _if(WHOLE, "SAFE_CAST(SAFE_CAST($x AS BIGNUMERIC) AS INT64)"),
    "NUMERIC": _if(NUMBER, "SAFE_CAST(TRIM($x) AS NUMERIC)"),
    "BIGNUMERIC": _if(NUMBER, "SAFE_CAST(TRIM($x) AS BIGNUMERIC)"),
    "FLOAT64": _if(NUMBER, "SAFE_CAST(TRIM($x) AS FLOAT64)"),
    "BOOL": "CASE LOWER($x) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
    "DATE": f"IF(REGEXP_CONTAINS($x, r'^{DAY}$'), SAFE_CAST($x AS DATE), DATE({_if(MOMENT, _INSTANT)}))",
    "DATETIME": f"DATETIME({_if(MOMENT, _INSTANT)})",
    "TIMESTAMP": _if(MOMENT, _INSTANT),
    "TIME": _if(CLOCK, f"SAFE_CAST({_SIX_DIGITS} AS TIME)"),
    "BYTES": "SAFE.FROM_BASE64($x)",
}
