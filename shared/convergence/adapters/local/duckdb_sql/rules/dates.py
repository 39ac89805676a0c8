"""Dates and times: a DATE stays a DATE, weeks begin on Sunday, differences count as GoogleSQL counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import (
    Rule,
    call,
    cast,
    function,
    kind_of,
    text,
    typed,
)
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.adapters.local.duckdb_sql.zones import as_instant, instant_of, local_time
from convergence.errors import StepFailed

_DAYS: Final = {"SUNDAY": 0, "MONDAY": 1, "TUESDAY": 2, "WEDNESDAY": 3, "THURSDAY": 4, "FRIDAY": 5, "SATURDAY": 6}
MICROS: Final = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_DATES: Final = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
_CLOCK: Final = frozenset({"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR"})
# GoogleSQL: the parts of each type that INTERVALs can add, and those for truncation, differences and extraction.
MOVED: Final = {"DATE": _DATES, "DATETIME": _DATES | _CLOCK, "TIMESTAMP": _CLOCK | {"DAY"}, "TIME": _CLOCK}
_ISO: Final = _DATES | {"ISOWEEK", "ISOYEAR"}
_PARTS: Final = {"DATE": _ISO, "DATETIME": _ISO | _CLOCK, "TIMESTAMP": _ISO | _CLOCK, "TIME": _CLOCK}
_EXTRACTED: Final = {
    "DATE": _ISO | {"DAYOFWEEK", "DAYOFYEAR"},
    "DATETIME": _ISO | _CLOCK | {"DAYOFWEEK", "DAYOFYEAR", "DATE", "TIME"},
    "TIMESTAMP": _ISO | _CLOCK | {"DAYOFWEEK", "DAYOFYEAR", "DATE", "TIME"},
    "TIME": _CLOCK,
}
_INSTANTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})


def unit_of(node: exp.Expr | None) -> str:
    """Return MONTH, WEEK, …; WEEK(MONDAY) is WEEK, its day is `_first_day`."""
    if isinstance(node, exp.WeekStart):
        return "WEEK"
    return node.name.upper() if node is not None else "DAY"


def _first_day(node: exp.Expr | None) -> int:
    return _DAYS.get(node.name.upper(), 0) if isinstance(node, exp.WeekStart) else 0


def check_part(parts: Mapping[str, frozenset[str]], kind: str, part: str, what: str) -> None:
    """Raise `StepFailed` when the type has no such part; an unknown type has all."""
    if kind in parts and part not in parts[kind]:
        raise StepFailed(f"{what} of {kind} takes {', '.join(sorted(parts[kind]))}, not {part}.")


def check_interval(kind: str, interval: exp.Expr) -> None:
    """Raise `StepFailed` when an INTERVAL of this unit cannot be added to the type."""
    if isinstance(interval, exp.Interval) and isinstance(interval.args.get("unit"), exp.Var):
        check_part(MOVED, kind, unit_of(interval.args["unit"]), "An INTERVAL beside a value")


def _as_date(node: exp.Expr) -> exp.Expr:
    return as_kind(node, "DATE") if isinstance(node, exp.Literal) else node


def _as_moment(side: exp.Expr, node: exp.Expr) -> exp.Expr:
    """Return a literal in the type of the function that it is in: DATETIME_TRUNC, DATE_DIFF, …"""
    if not isinstance(side, exp.Literal):
        return side
    if isinstance(node, exp.TimestampTrunc):
        return as_instant(side)
    return as_kind(side, "DATETIME" if isinstance(node, exp.DatetimeTrunc | exp.DatetimeDiff) else "DATE")


def _moved(kind: str, sign: str = "") -> Rule:
    """DATE_ADD and its family: the result has the type of the argument."""

    def rule(node: exp.Expr) -> exp.Expr:
        moment = as_kind(node.this, kind) if isinstance(node.this, exp.Literal) else node.this
        known = kind_of(moment)
        amount = node.expression
        if isinstance(amount, exp.Interval):
            interval: exp.Expr = amount
            unit = unit_of(amount.args.get("unit"))
        else:
            unit = unit_of(node.args.get("unit"))
            number = exp.Paren(this=amount)
            times = exp.Mul(this=number, expression=exp.Literal.number(3)) if unit == "QUARTER" else number
            interval = exp.Interval(
                this=exp.Paren(this=times), unit=exp.Var(this="MONTH" if unit == "QUARTER" else unit)
            )
        check_part(MOVED, known or kind, unit, "An INTERVAL beside a value")
        if sign:
            interval = exp.Neg(this=interval)
        if not known:
            return call("moved", moment, interval, kind=kind)
        sum_ = exp.Add(this=moment, expression=interval)
        if known == "TIME":
            return typed(exp.Paren(this=sum_), "TIME")
        return call("in_range", cast(sum_, "DATE") if known == "DATE" else sum_, kind=known)

    return rule


def _truncated(node: exp.Expr) -> exp.Expr:
    moment, unit = _as_moment(node.this, node), node.args.get("unit")
    zone = node.args.get("zone")
    kind = kind_of(moment)
    if zone is not None:
        return _truncated_in_zone(as_instant(moment), unit, zone)
    return typed(_truncate(moment, unit, kind), kind)


def _truncated_in_zone(instant: exp.Expr, unit: exp.Expr | None, zone: exp.Expr) -> exp.Expr:
    """A day begins when the zone's clocks first show it; within a day, the offset of the instant itself counts."""
    local = local_time(zone, instant)
    if unit_of(unit) in _CLOCK:
        return call("clock_truncated", text(unit_of(unit).lower()), instant.copy(), local, kind="TIMESTAMP")
    return instant_of(zone.copy(), _truncate(local, unit, "DATETIME"))


def _truncate(moment: exp.Expr, unit: exp.Expr | None, kind: str) -> exp.Expr:
    name = unit_of(unit)
    check_part(_PARTS, kind, name, "A cut")
    if name == "WEEK":
        return call("week_begin", moment, exp.Literal.number(_first_day(unit)))
    if name == "ISOYEAR":
        start = call("isoyear_begin", moment)
        return cast(start, kind) if kind in _INSTANTS else start
    part = text("week" if name == "ISOWEEK" else name.lower())
    if kind == "DATE":
        return cast(function("date_trunc", part, moment), "DATE")
    if kind in {"DATETIME", "TIMESTAMP"}:
        return function("date_trunc", part, moment)
    return call("truncated", part, moment)


def _boundaries(node: exp.Expr) -> exp.Expr:
    """DATE_DIFF and DATETIME_DIFF count the boundaries between two moments."""
    end, start, unit = node.this, node.expression, node.args.get("unit")
    end, start = (_as_moment(side, node) for side in (end, start))
    name = unit_of(unit)
    for side in (end, start):
        check_part(_PARTS, kind_of(side), name, "A difference")
    if name == "WEEK":
        first = exp.Literal.number(_first_day(unit))
        weeks = [cast(call("week_begin", side, first.copy()), "DATE") for side in (start, end)]
        days = function("date_diff", text("day"), *weeks)
        return typed(exp.Paren(this=exp.IntDiv(this=days, expression=exp.Literal.number(7))), "INT64")
    if name == "ISOWEEK":
        weeks = [function("date_trunc", text("week"), side) for side in (start, end)]
        return function("date_diff", text("week"), *weeks, kind="INT64")
    return function("date_diff", text(name.lower()), start, end, kind="INT64")


def _elapsed(node: exp.Expr) -> exp.Expr:
    """TIMESTAMP_DIFF counts whole units of time that passed, towards zero."""
    unit = unit_of(node.args.get("unit"))
    if unit not in MICROS:
        raise StepFailed(f"TIMESTAMP_DIFF does not count {unit}; use DATE_DIFF.")
    end, start = (as_instant(side) for side in (node.this, node.expression))
    micros = exp.Paren(this=exp.Sub(this=function("epoch_us", end), expression=function("epoch_us", start)))
    whole = exp.IntDiv(this=micros, expression=exp.Literal.number(MICROS[unit]))
    return typed(exp.Paren(this=whole), "INT64")


def _time_boundaries(node: exp.Expr) -> exp.Expr:
    unit = unit_of(node.args.get("unit"))
    check_part(_PARTS, "TIME", unit, "A difference")
    sides = [as_kind(side, "TIME") for side in (node.expression, node.this)]
    return function("date_diff", text(unit.lower()), *sides, kind="INT64")


def _time_truncated(node: exp.Expr) -> exp.Expr:
    unit = unit_of(node.args.get("unit"))
    if unit not in {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR"}:
        raise StepFailed(f"TIME_TRUNC cannot truncate to {unit}.")
    return call("time_truncated", text(unit.lower()), as_kind(node.this, "TIME"), kind="TIME")


def _extract(node: exp.Expr) -> exp.Expr:
    part, moment = node.this, node.expression
    name = unit_of(part)
    if isinstance(moment, exp.AtTimeZone):
        moment = local_time(moment.args["zone"], as_instant(moment.this))
    check_part(_EXTRACTED, kind_of(moment), name, "EXTRACT")
    if name == "DATE":
        return cast(moment, "DATE")
    if name == "TIME":
        return exp.Cast(this=moment, to=exp.DataType(this=exp.DataType.Type.TIME))
    if name == "DAYOFWEEK":
        return typed(
            exp.Paren(this=exp.Add(this=function("dayofweek", moment), expression=exp.Literal.number(1))), "INT64"
        )
    if name == "WEEK":
        year_begin = function("date_trunc", text("year"), moment.copy())
        first = exp.Literal.number(_first_day(part))
        days = function("date_diff", text("day"), call("week_begin", cast(year_begin, "DATE"), first),
                        call("week_begin", cast(moment, "DATE"), first.copy()))  # fmt: skip
        starts = function("date_trunc", text("year"), moment.copy())
        begins_on_first = exp.EQ(this=function("dayofweek", starts), expression=first.copy())
        one = exp.If(this=begins_on_first, true=exp.Literal.number(1), false=exp.Literal.number(0))
        weeks = exp.IntDiv(this=days, expression=exp.Literal.number(7))
        return typed(exp.Paren(this=exp.Add(this=weeks, expression=one)), "INT64")
    if name in {"MILLISECOND", "MICROSECOND"}:
        scale = 1_000 if name == "MILLISECOND" else 1_000_000
        whole = exp.Extract(this=exp.Var(this=name), expression=moment)
        return typed(exp.Paren(this=exp.Mod(this=whole, expression=exp.Literal.number(scale))), "INT64")
    renamed = {"ISOWEEK": "WEEK"}.get(name, name)
    return typed(exp.Extract(this=exp.Var(this=renamed), expression=moment), "INT64")


def _last_day(node: exp.Expr) -> exp.Expr:
    unit = node.args.get("unit")
    check_part(_PARTS, "DATE", unit_of(unit), "LAST_DAY")
    if unit_of(unit) == "DAY" and unit is not None:
        raise StepFailed("LAST_DAY takes WEEK, ISOWEEK, MONTH, QUARTER, YEAR or ISOYEAR.")
    if unit is None or unit_of(unit) == "MONTH":
        return typed(function("last_day", _as_date(node.this)), "DATE")
    if unit_of(unit) == "WEEK":
        begin = cast(call("week_begin", as_kind(node.this, "DATE"), exp.Literal.number(_first_day(unit))), "DATE")
        return call("shifted", begin, exp.Literal.number(6), kind="DATE")
    return call("last_day_of", _as_date(node.this), text(unit_of(unit)), kind="DATE")


def _interval(node: exp.Expr) -> exp.Expr:
    if isinstance(node.args.get("unit"), exp.IntervalSpan):
        raise StepFailed("An INTERVAL of several units cannot run here; add intervals of one unit.")
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.DateAdd: _moved("DATE"),
    exp.DateSub: _moved("DATE", "-"),
    exp.DatetimeAdd: _moved("DATETIME"),
    exp.DatetimeSub: _moved("DATETIME", "-"),
    exp.TimestampAdd: _moved("TIMESTAMP"),
    exp.TimestampSub: _moved("TIMESTAMP", "-"),
    exp.DateTrunc: _truncated,
    exp.DatetimeTrunc: _truncated,
    exp.TimestampTrunc: _truncated,
    exp.TimeTrunc: _time_truncated,
    exp.DateDiff: _boundaries,
    exp.DatetimeDiff: _boundaries,
    exp.TimestampDiff: _elapsed,
    exp.TimeDiff: _time_boundaries,
    exp.Extract: _extract,
    exp.LastDay: _last_day,
    exp.Interval: _interval,
    exp.TimeAdd: _moved("TIME"),
    exp.TimeSub: _moved("TIME", "-"),
}
