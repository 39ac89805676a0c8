"""Time zones: names as DuckDB knows them, and offsets such as `+05:30` or `-8`, which it does not."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import call, function, text, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.errors import StepFailed

_OFFSET: Final = re.compile(r"(?:UTC)?([+-])(\d{1,2})(?::?(\d\d))?")


def local_time(zone: exp.Expr, instant: exp.Expr) -> exp.Expr:
    """Return the DATETIME that clocks in `zone` show at an instant."""
    return _converted("local_time", zone, instant, "DATETIME")


def instant_of(zone: exp.Expr, local: exp.Expr) -> exp.Expr:
    """Return the TIMESTAMP at which clocks in `zone` show a DATETIME; the first one when they show it twice."""
    return _converted("instant_of", zone, local, "TIMESTAMP")


def _converted(macro: str, zone: exp.Expr, moment: exp.Expr, kind: str) -> exp.Expr:
    if not isinstance(zone, exp.Literal):
        return call(macro, zone, moment, kind=kind)
    minutes = _minutes(str(zone.name))
    if minutes is None:
        named = function("timezone", zone, moment, kind=kind)
        return named if macro == "local_time" else call("instant_in", zone, moment, kind=kind)
    offset = function("to_minutes", exp.Literal.number(minutes if macro == "local_time" else -minutes))
    in_utc = function("timezone", text("UTC"), moment, kind=kind)
    return typed(exp.Paren(this=exp.Add(this=in_utc, expression=offset)), kind)


def _minutes(zone: str) -> int | None:
    """Return the minutes east of UTC; None when the zone is a name."""
    found = _OFFSET.fullmatch(zone)
    if found is None:
        return None
    hours, minutes = int(found[2]), int(found[3] or 0)
    if hours > 14 or minutes > 59:
        raise StepFailed(f"{zone!r} is not a time zone: an offset must be between -14:00 and +14:00.")
    return (hours * 60 + minutes) * (-1 if found[1] == "-" else 1)


def offset_text(instant: exp.Expr, local: exp.Expr, element: str) -> exp.Expr:
    """Return the zone's offset as `%z` (+0530), `%Ez` (+05:30) or `%Z` (UTC+5:30) shows it."""
    macro = {"%z": "offset_short", "%Ez": "offset_long", "%Z": "offset_name"}[element]
    minutes = call("offset_minutes", instant, local)
    return call(macro, minutes, kind="STRING")


def as_instant(node: exp.Expr) -> exp.Expr:
    """Return a DATE, DATETIME, STRING or TIMESTAMP as a TIMESTAMP, in UTC unless it says otherwise."""
    return as_kind(node, "TIMESTAMP")
