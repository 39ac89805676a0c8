"""GENERATE_ARRAY, GENERATE_DATE_ARRAY and GENERATE_TIMESTAMP_ARRAY: their size has a limit, their step is not 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import DATA_TYPES, Rule, call, kind_of
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.adapters.local.duckdb_sql.rules.dates import MICROS, MOVED, check_part, unit_of
from convergence.adapters.local.duckdb_sql.rules.literals import is_float_literal
from convergence.adapters.local.duckdb_sql.rules.numbers import decimal_of
from convergence.errors import StepFailed


def _series(node: exp.Expr) -> exp.Expr:
    """GENERATE_ARRAY."""
    step = node.args.get("step") or exp.Literal.number(1)
    ends = [node.args["start"], node.args["end"]]
    decimal = decimal_of(*ends, step)
    if not decimal and any(kind_of(each) == "FLOAT64" or is_float_literal(each) for each in (*ends, step)):
        raise StepFailed("GENERATE_ARRAY of FLOAT64 cannot run here; use NUMERIC.")
    found = call("numeric_series" if decimal else "int_series", *ends, step)
    return _listed(found, "NUMERIC" if decimal else "INT64")


def _date_array(node: exp.Expr) -> exp.Expr:
    start, end = (as_kind(node.args[side], "DATE") for side in ("start", "end"))
    unit, count = _step(node.args["step"])
    check_part(MOVED, "DATE", unit, "The step")
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}.get(unit)
    factor = exp.Literal.number(months or {"DAY": 1, "WEEK": 7}[unit])
    step = exp.Paren(this=exp.Mul(this=exp.Paren(this=count), expression=factor))
    return _listed(call("month_dates" if months else "date_series", start, end, step), "DATE")


def _timestamp_array(node: exp.Expr) -> exp.Expr:
    start, end = (as_kind(node.args[side], "TIMESTAMP") for side in ("start", "end"))
    unit, count = _step(node.args["step"])
    check_part(MOVED, "TIMESTAMP", unit, "The step")
    micros = exp.Mul(this=exp.Paren(this=count), expression=exp.Literal.number(MICROS[unit]))
    return _listed(call("timestamp_series", start, end, exp.Paren(this=micros)), "TIMESTAMP")


def _step(step: exp.Expr) -> tuple[str, exp.Expr]:
    """Return the unit of an INTERVAL and how many of it."""
    count = step.this
    return unit_of(step.args.get("unit")), exp.Literal.number(count.name) if isinstance(count, exp.Literal) else count


def _listed(node: exp.Expr, element: str) -> exp.Expr:
    node.type = exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[exp.DataType(this=DATA_TYPES[element])])
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.GenerateSeries: _series,
    exp.GenerateDateArray: _date_array,
    exp.GenerateTimestampArray: _timestamp_array,
}
