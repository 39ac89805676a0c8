"""From the text of a file to the value of a column: the SQL of the value, and of whether the text fits.

Every value is looked at as text, because DuckDB by itself rounds the digits that a DECIMAL has no room for, takes
1_000 for a number and `2026/1/5` for a date. A value of Parquet that has the column's type already is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from convergence.adapters.googlesql.types import column_type
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.types import WHOLE_HERE, duckdb_type, struct_fields
from convergence.adapters.local.warehouse.file_texts import DECIMAL, WHOLE_TYPES, as_json, as_text
from convergence.adapters.local.warehouse.named_sql import quoted
from convergence.adapters.local.warehouse.rows import CASES, YEARS
from convergence.adapters.row_files import CLOCKS, problem_of
from convergence.ports.column_bounds import DECIMALS, whole_and_places
from convergence.ports.column_values import FRACTION, MICROSECONDS, type_name
from convergence.ports.warehouse import Column, RowFile

_SCALE: Final = {"NUMERIC": 9, "BIGNUMERIC": 18}
_CLOCKS: Final = frozenset({"TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_S"})  # without a zone, which means UTC
# What columns hold of DuckDB's days and times, which go further: infinity, years before 1 and after 9999, 24:00.
_RANGES: Final = {
    "DATE": "$x BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'",
    "TIMESTAMP": "$x BETWEEN TIMESTAMP '0001-01-01 00:00:00' AND TIMESTAMP '9999-12-31 23:59:59.999999'",
    "TIMESTAMP WITH TIME ZONE": f"$x BETWEEN {YEARS}",
    "TIME": "$x < TIME '24:00:00'",
}
# DuckDB takes NaN, a comma at the end, and numbers beyond floats for JSON, which no other reader does.
_STRINGS: Final = quoted(r'"(?:[^"\\]|\\.)*"')
_NO_STRING: Final = quoted('""')
_LENIENT: Final = quoted(r"(?i)na|in|,\s*[\]}]|[0-9]e\+?[0-9]{3}")
# The digits after the decimal point that count, of a number that may have an exponent; never fewer than there are.
_BEHIND: Final = (
    "length(rtrim(regexp_extract($x, '\\.([0-9]*)', 1), '0'))"
    " - coalesce(TRY_CAST(regexp_extract($x, '[eE]([+-]?[0-9]+)', 1) AS INTEGER), 0)"
)
# The same for a number without one, which is quicker.
_PLAIN_BEHIND: Final = "strpos($x, '.') = 0 OR length(rtrim($x, '0')) - strpos($x, '.') <= {scale}"
# Type → powers of ten: a float that is a whole number of 10⁻ᵃ, and below 10ᵇ, is a decimal of at most 15 digits. The
# quotient of two numbers that floats hold is the nearest float, and no two such decimals have the same one: the float
# is exactly this decimal, which is its shortest text too. This costs a tenth of looking at the text.
_PARTS: Final = {"NUMERIC": ((9, 6), (6, 9)), "BIGNUMERIC": ((12, 3), (6, 9))}
# The usual forms, which need no further check and cost a tenth.
_NO_ZONE: Final = "length($x) = 19 AND CAST(TRY_CAST($x AS TIMESTAMP) AS VARCHAR) = replace($x, 'T', ' ')"
_QUICK: Final = {
    **{name: f"regexp_full_match($x, '-?[0-9]{{1,20}}(\\.[0-9]{{1,{scale}}})?')" for name, scale in _SCALE.items()},
    "TIMESTAMP": _NO_ZONE,
}


@dataclass(frozen=True, slots=True)
class Value:
    """`text` is what the file has, NULL for no value; `strict` its value or an error, `lenient` its value or NULL."""

    text: str
    strict: str
    lenient: str


def value_of(column: Column, source: str, kind: str, file: RowFile) -> Value:
    """Return the SQL for a column that `source` (SQL of DuckDB's type `kind`) feeds."""
    is_value = type_name(column) == "JSON" and kind not in {"VARCHAR", "JSON"}  # others are texts of JSON
    text = as_json(source, kind, file) if is_value else as_text(source, kind, file)
    allowed = file.allowed.get(column.name)
    between = file.between.get(column.name) if file.outside == "bad" else None
    limited = allowed is not None or between is not None or bool(column.bounds)
    if type_name(column) == "STRUCT":
        return _record(column, source, kind, file)
    direct = None if limited or column.name in file.formats else _direct(column, source, kind)
    if direct is not None:
        found, test = direct
        if not test:
            return Value(source, found, found)
        strict = f"CASE WHEN {source} IS NULL THEN NULL WHEN {test} THEN {found} ELSE {_wrong(column, file)} END"
        return Value(source, strict, f"CASE WHEN {test} THEN {found} END")
    if type_name(column) == "STRING" and not limited:
        return Value(text, text, text)
    listed = "" if allowed is None else f" AND {text} IN ({', '.join(map(quoted, allowed))})"
    cases = [*_float_cases(column, source, kind), *_cases(column, text, file)]
    wrong = _wrong(column, file)
    tests = [(f"({test}){listed}{_between(value, between)}", value) for test, value in cases]
    strict = " ".join(f"WHEN {test} THEN {_within(column, value, wrong)}" for test, value in tests)
    strict = f"CASE WHEN {text} IS NULL THEN NULL {strict} ELSE {wrong} END"
    lenient = "TRY(CASE " + " ".join(f"WHEN {test} THEN {_within(column, value, 'NULL')}" for test, value in tests)
    lenient += " END)"
    return Value(text, strict, lenient)


def _wrong(column: Column, file: RowFile) -> str:
    return f"error({quoted(problem_of(column, file))})"


def _record(column: Column, source: str, kind: str, file: RowFile) -> Value:
    """Return the SQL of a record: each of its fields is looked at as a column is."""
    plain = replace(file, formats={}, allowed={}, between={}, nulls=())
    kinds = dict(struct_fields(kind))
    inner = {
        field.name: value_of(field, f"struct_extract({source}, {quoted(field.name)})", kinds[field.name], plain)
        for field in column.fields
    }
    wrong = " OR ".join(f"({each.text} IS NOT NULL AND {each.lenient} IS NULL)" for each in inner.values())
    packed = {
        way: ", ".join(f"{duckdb_name(name)} := {getattr(each, way)}" for name, each in inner.items())
        for way in ("strict", "lenient")
    }
    target = duckdb_type(column_type(column))
    strict, lenient = (f"CAST(struct_pack({fields}) AS {target})" for fields in packed.values())
    return Value(
        as_text(source, kind, file),
        f"CASE WHEN {source} IS NULL THEN NULL ELSE {strict} END",
        f"CASE WHEN {source} IS NULL OR {wrong} THEN NULL ELSE {lenient} END",
    )


def _within(column: Column, value: str, otherwise: str) -> str:
    """Return the SQL of a value within its column's bounds, `otherwise` for one that is longer."""
    if not column.bounds:
        return value
    name = type_name(column)
    if name not in DECIMALS:
        length = "octet_length" if name == "BYTES" else "length"
        return f"CASE WHEN {length}({value}) <= {column.bounds[0]} THEN {value} ELSE {otherwise} END"
    whole, places = whole_and_places(column.bounds)
    rounded = f"CAST(round({value}, {places}) AS {duckdb_type(column_type(column))})"
    fits = "true" if whole >= WHOLE_HERE[name] else f"abs({rounded}) < {10**whole}"
    return f"CASE WHEN {fits} THEN {rounded} ELSE {otherwise} END"


def inside_of(column: Column, value: Value, file: RowFile) -> str | None:
    """Return the SQL that tells whether a row is one to take: its day is among those of the file, or is none at all."""
    days = file.between.get(column.name)
    if days is None or file.outside != "skip":
        return None
    return f"({value.lenient} IS NULL OR (true{_between(value.lenient, days)}))"


def _between(value: str, days: tuple[date, date] | None) -> str:
    return "" if days is None else f" AND CAST({value} AS DATE) BETWEEN DATE '{days[0]}' AND DATE '{days[1]}'"


def _direct(column: Column, source: str, kind: str) -> tuple[str, str] | None:
    """Return the SQL of the value, and that of a test that it must pass ('' for none), if the types leave no doubt;
    None if the text has to be examined."""
    name, target = type_name(column), duckdb_type(column_type(column))
    if kind == target and name not in {"STRING", "FLOAT64"}:
        return source, _RANGES.get(kind, "").replace("$x", source)
    if name == "TIMESTAMP" and kind in _CLOCKS:
        return f"({source} AT TIME ZONE 'UTC')", _RANGES["TIMESTAMP"].replace("$x", source)
    if name == "TIME" and kind == "TIME WITH TIME ZONE":  # Parquet has it in UTC
        return f"CAST({source} AS TIME)", _RANGES["TIME"].replace("$x", f"CAST({source} AS TIME)")
    if name in {"INT64", *_SCALE} and kind in WHOLE_TYPES:
        return f"CAST({source} AS {target})", ""
    found = DECIMAL.fullmatch(kind) if name in _SCALE else None
    if found and int(found[2]) <= _SCALE[name] and int(found[1]) - int(found[2]) <= WHOLE_HERE[name]:
        return f"CAST({source} AS {target})", ""
    return None


def _float_cases(column: Column, source: str, kind: str) -> list[tuple[str, str]]:
    """Return pairs as `_cases` does, of a float whose decimal is found by calculation."""
    parts = _PARTS.get(type_name(column), ()) if kind == "DOUBLE" else ()
    target, found = duckdb_type(column_type(column)), []
    for digits, below in parts:
        count, unit = f"round({source} * 1e{digits})", f"{Decimal(1).scaleb(-digits):f}"
        value = f"CAST(CAST(CAST({count} AS BIGINT) AS DECIMAL(18, 0)) * {unit} AS {target})"
        found.append((f"abs({source}) < 1e{below} AND {count} / 1e{digits} = {source}", value))
    return found


def _cases(column: Column, text: str, file: RowFile) -> list[tuple[str, str]]:
    """Return pairs of (whether a text is of this form, its value)."""
    name = type_name(column)
    if name in {"STRING", "INTERVAL"}:
        return [("true", text)]
    if name == "JSON":
        outside = f"regexp_replace({text}, {_STRINGS}, {_NO_STRING}, 'g')"
        strict = f"NOT regexp_matches({outside}, {_LENIENT})"
        return [(f"json_valid({text}) AND {strict}", f"CAST({text} AS JSON)")]
    if column.name in file.formats:
        moment = f"TRY_STRPTIME({text}, {quoted(file.formats[column.name])})"
        value = f"({moment} AT TIME ZONE 'UTC')" if name == "TIMESTAMP" else moment
        return [(f"{moment} IS NOT NULL", f"CAST({value} AS {duckdb_type(column_type(column))})")]
    if name == "BYTES":
        return [(test.replace("$x", f"to_json({text})"), f"from_base64({text})") for test, _ in CASES[name]]
    cases = [(test.replace("$x", text), value.replace("$x", text)) for test, value in CASES[name]]
    quick = [(_QUICK[name].replace("$x", text), _quick_value(column, text))] if name in _QUICK else []
    if file.digits == "round":
        return quick + cases
    if name in CLOCKS:
        return quick + [(test.replace(FRACTION, MICROSECONDS), value) for test, value in cases]
    if name not in _SCALE:
        return quick + cases
    scale = whole_and_places(column.bounds)[1] if column.bounds else _SCALE[name]
    quick = quick if scale == _SCALE[name] else []
    plain = _PLAIN_BEHIND.format(scale=scale).replace("$x", text)
    behind = _BEHIND.replace("$x", text)
    exact = f"(CASE WHEN contains(lower({text}), 'e') THEN {behind} <= {scale} ELSE {plain} END)"
    return quick + [(f"{test} AND {exact}", value) for test, value in cases]


def _quick_value(column: Column, text: str) -> str:
    if type_name(column) == "TIMESTAMP":
        return f"(CAST({text} AS TIMESTAMP) AT TIME ZONE 'UTC')"
    return f"CAST({text} AS {duckdb_type(column_type(column))})"
