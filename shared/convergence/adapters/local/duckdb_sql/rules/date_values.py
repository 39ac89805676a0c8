"""Dates and times out of other values: constructors, the present, UNIX_…."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, kind_of, text, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind, as_text
from convergence.adapters.local.duckdb_sql.zones import as_instant, instant_of, local_time
from convergence.errors import StepFailed


def _timestamp(node: exp.Expr) -> exp.Expr:
    zone = node.args.get("zone")
    if zone is not None:
        return instant_of(zone, as_kind(node.this, "DATETIME"))
    return as_kind(node.this, "TIMESTAMP")


def _date(node: exp.Expr) -> exp.Expr:
    zone = node.args.get("zone")
    if zone is not None:
        return cast(local_time(zone, as_instant(node.this)), "DATE")
    return as_kind(node.this, "DATE")


def _from_parts(macro: str, kind: str, *parts: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        if any(node.args.get(part) is None for part in parts):
            raise StepFailed(f"{kind} takes {', '.join(parts)}.")
        return call(macro, *(node.args[part] for part in parts), kind=kind)

    return rule


def _time(node: exp.Expr) -> exp.Expr:
    """TIME of a DATETIME, or of a TIMESTAMP in a zone."""
    zone = node.args.get("zone")
    moment = as_kind(node.this, "TIME") if zone is None else local_time(zone, as_instant(node.this))
    return cast(moment, "TIME")


def _time_of_text(node: exp.Expr) -> exp.Expr:
    if isinstance(node.parent, exp.TimeToStr):
        return node  # FORMAT_TIME: its own rule
    return as_kind(node.this, "TIME")


def _string(node: exp.Expr) -> exp.Expr:
    """STRING of a moment; a zone shows the TIMESTAMP there, with its offset."""
    zone = node.args.get("zone")
    if zone is None:
        return call("json_string", node.this, kind="STRING") if kind_of(node.this) == "JSON" else as_text(node.this)
    instant = as_instant(node.this)
    return call("zoned_text", instant, local_time(zone, instant.copy()), kind="STRING")


def _datetime(node: exp.Expr) -> exp.Expr:
    if isinstance(node.parent, exp.TimeToStr):
        return node  # FORMAT_DATETIME: its own rule
    other = node.expression
    if isinstance(node, exp.Datetime) and other is not None:
        if kind_of(other) == "TIME":
            return typed(exp.Paren(this=exp.Add(this=as_kind(node.this, "DATE"), expression=other)), "DATETIME")
        return local_time(other, as_instant(node.this))
    return as_kind(node.this, "DATETIME")


def _now_in(kind: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        zone = node.this if isinstance(node.this, exp.Expr) else text("UTC")
        local = local_time(zone, exp.CurrentTimestamp())
        if kind == "TIME":
            return exp.Cast(this=local, to=exp.DataType(this=exp.DataType.Type.TIME))
        return cast(local, kind)

    return rule


def _from_unix(node: exp.Expr) -> exp.Expr:
    scale = node.args.get("scale")
    micros = {"0": 1_000_000, "3": 1_000, "6": 1}[scale.name if scale is not None else "0"]
    scaled = exp.Mul(this=cast(node.this, "INT64"), expression=exp.Literal.number(micros))
    return call("in_range", function("make_timestamptz", scaled), kind="TIMESTAMP")


def _to_unix(micros: int) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        epoch = function("epoch_us", as_instant(node.this), kind="INT64")
        return epoch if micros == 1 else call("floor_divide", epoch, exp.Literal.number(micros), kind="INT64")

    return rule


def _from_unix_date(node: exp.Expr) -> exp.Expr:
    return call("shifted", cast(text("1970-01-01"), "DATE"), node.this, kind="DATE")


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Timestamp: _timestamp,
    exp.Date: _date,
    exp.Datetime: _datetime,
    exp.TsOrDsToDatetime: _datetime,
    exp.CurrentDate: _now_in("DATE"),
    exp.CurrentDatetime: _now_in("DATETIME"),
    exp.CurrentTime: _now_in("TIME"),
    exp.DateFromParts: _from_parts("date_from_parts", "DATE", "year", "month", "day"),
    exp.TimestampFromParts: _from_parts(
        "datetime_from_parts", "DATETIME", "year", "month", "day", "hour", "min", "sec"
    ),
    exp.TimeFromParts: _from_parts("time_from_parts", "TIME", "hour", "min", "sec"),
    exp.Time: _time,
    exp.TsOrDsToTime: _time_of_text,
    exp.String: _string,
    exp.UnixToTime: _from_unix,
    exp.UnixSeconds: _to_unix(1_000_000),
    exp.UnixMillis: _to_unix(1_000),
    exp.UnixMicros: _to_unix(1),
    exp.DateFromUnixDate: _from_unix_date,
}
