"""Dates and times out of other values and into text: constructors, the present, FORMAT_…, PARSE_…, UNIX_…."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.patterns import SPECIAL, date_format
from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, kind_of, text, typed
from convergence.adapters.local.duckdb_sql.zones import as_instant, instant_of, local_time, offset_text
from convergence.errors import StepFailed

# Elements padded with a blank; sqlglot has spelled some of them like strftime already.
_BLANK_PADDED: Final = {"%e": "%-d", "%k": "%-H", "%l": "%-I", "%-d": "%-d", "%-H": "%-H", "%-I": "%-I"}


def _timestamp(node: exp.Expr) -> exp.Expr:
    zone = node.args.get("zone")
    if zone is not None:
        return instant_of(zone, cast(node.this, "DATETIME"))
    return call("timestamp_of", node.this, kind="TIMESTAMP")


def _date(node: exp.Expr) -> exp.Expr:
    zone = node.args.get("zone")
    if zone is not None:
        return cast(local_time(zone, as_instant(node.this)), "DATE")
    return cast(node.this, "DATE")


def _datetime(node: exp.Expr) -> exp.Expr:
    if isinstance(node.parent, exp.TimeToStr):
        return node  # FORMAT_DATETIME: its own rule
    other = node.expression
    if isinstance(node, exp.Datetime) and other is not None:
        if kind_of(other) == "TIME":
            return typed(exp.Paren(this=exp.Add(this=cast(node.this, "DATE"), expression=other)), "DATETIME")
        return local_time(other, as_instant(node.this))
    return cast(node.this, "DATETIME")


def _now_in(kind: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        zone = node.this if isinstance(node.this, exp.Expr) else text("UTC")
        local = local_time(zone, exp.CurrentTimestamp())
        if kind == "TIME":
            return exp.Cast(this=local, to=exp.DataType(this=exp.DataType.Type.TIME))
        return cast(local, kind)

    return rule


def _formatted(node: exp.Expr) -> exp.Expr:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIMESTAMP, FORMAT_TIME."""
    moment, pattern, zone = node.this, node.args.get("format"), node.args.get("zone")
    instant: exp.Expr | None = None
    if isinstance(moment, exp.TsOrDsToTimestamp):
        instant = as_instant(moment.this)
        moment = local_time(zone or text("UTC"), instant)
    elif isinstance(moment, exp.TsOrDsToTime):
        epoch_day = exp.Cast(this=text("1970-01-01"), to=exp.DataType(this=exp.DataType.Type.DATE))
        moment = exp.Paren(this=exp.Add(this=epoch_day, expression=moment.this))
    elif isinstance(moment, exp.TsOrDsToDate | exp.TsOrDsToDatetime):
        moment = cast(moment.this, "DATE" if isinstance(moment, exp.TsOrDsToDate) else "DATETIME")
    pieces = [_piece(moment, piece, instant) for piece in SPECIAL.split(_literal(pattern, "a format")) if piece]
    joined = pieces[0] if pieces else text("")
    for piece in pieces[1:]:
        joined = exp.DPipe(this=joined, expression=piece)
    return typed(exp.Paren(this=joined), "STRING")


def _piece(moment: exp.Expr, piece: str, instant: exp.Expr | None) -> exp.Expr:
    """Return one part of a formatted moment; some elements are missing in DuckDB's strftime."""
    if piece in {"%z", "%Ez", "%Z"} and instant is not None:
        return offset_text(instant.copy(), moment.copy(), piece)
    if piece == "%Q":
        return exp.Cast(this=function("quarter", moment.copy()), to=exp.DataType(this=exp.DataType.Type.TEXT))
    if piece in _BLANK_PADDED:
        short = function("strftime", moment.copy(), text(_BLANK_PADDED[piece]))
        return function("lpad", short, exp.Literal.number(2), text(" "))
    if piece == "%E*S":
        fraction = function("rtrim", function("strftime", moment.copy(), text(".%f")), text("0"))
        seconds = function("strftime", moment.copy(), text("%S"))
        return exp.DPipe(this=seconds, expression=function("rtrim", fraction, text(".")))
    return function("strftime", moment.copy(), text(date_format(piece)))


def _literal(node: exp.Expr | None, what: str) -> str:
    if isinstance(node, exp.Literal | exp.RawString):
        return str(node.this)
    raise StepFailed(f"{what} has to be a literal here.")


def _parsed(kind: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        pattern = date_format(_literal(node.args.get("format"), "a format"), parsing=True)
        moment = function("strptime", node.this, text(pattern))
        zone = node.args.get("zone")
        if kind == "TIMESTAMP" and zone is not None:
            return instant_of(zone, cast(moment, "DATETIME"))
        return cast(moment, kind)

    return rule


def _from_unix(node: exp.Expr) -> exp.Expr:
    scale = node.args.get("scale")
    micros = {"0": 1_000_000, "3": 1_000, "6": 1}[scale.name if scale is not None else "0"]
    scaled = exp.Mul(this=cast(node.this, "INT64"), expression=exp.Literal.number(micros))
    return function("make_timestamptz", scaled, kind="TIMESTAMP")


def _to_unix(micros: int) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        instant = as_instant(node.this)
        epoch = cast(function("epoch_us", instant), "FLOAT64") if micros > 1 else function("epoch_us", instant)
        if micros == 1:
            return typed(epoch, "INT64")
        return cast(function("floor", exp.Div(this=epoch, expression=exp.Literal.number(micros), typed=False)), "INT64")

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
    exp.TimeToStr: _formatted,
    exp.StrToDate: _parsed("DATE"),
    exp.StrToTime: _parsed("TIMESTAMP"),
    exp.ParseDatetime: _parsed("DATETIME"),
    exp.UnixToTime: _from_unix,
    exp.UnixSeconds: _to_unix(1_000_000),
    exp.UnixMillis: _to_unix(1_000),
    exp.UnixMicros: _to_unix(1),
    exp.DateFromUnixDate: _from_unix_date,
}
