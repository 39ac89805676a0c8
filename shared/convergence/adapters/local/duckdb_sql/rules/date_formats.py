"""FORMAT_DATE, PARSE_DATE and their families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.patterns import SPECIAL, check_elements, date_format
from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, text, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.adapters.local.duckdb_sql.zones import as_instant, instant_of, local_time, offset_text
from convergence.errors import StepFailed

# Elements padded with a blank; sqlglot has spelled some of them like strftime already.
_BLANK_PADDED: Final = {"%e": "%-d", "%k": "%-H", "%l": "%-I", "%-d": "%-d", "%-H": "%-H", "%-I": "%-I"}
_ELEMENTS: Final = {"%P": "half", "%s": "epoch", "%J": "iso_day", "%g": "iso_year", "%C": "century"} | {
    "%Y": "year",
    "%G": "year_of_weeks",
}
_FORMATTED: Final[Mapping[type[exp.Expr], str]] = {
    exp.TsOrDsToDate: "DATE",
    exp.TsOrDsToTime: "TIME",
    exp.TsOrDsToDatetime: "DATETIME",
    exp.TsOrDsToTimestamp: "TIMESTAMP",
}


def _formatted(node: exp.Expr) -> exp.Expr:
    """FORMAT_DATE, FORMAT_DATETIME, FORMAT_TIMESTAMP, FORMAT_TIME."""
    moment, pattern, zone = node.this, node.args.get("format"), node.args.get("zone")
    instant: exp.Expr | None = None
    written = _literal(pattern, "a format")
    check_elements(written, _FORMATTED.get(type(moment), "TIMESTAMP"))
    if isinstance(moment, exp.TsOrDsToTimestamp):
        instant = as_instant(moment.this)
        moment = local_time(zone or text("UTC"), instant)
    elif isinstance(moment, exp.TsOrDsToTime):
        epoch_day = cast(text("1970-01-01"), "DATE")
        moment = exp.Paren(this=exp.Add(this=epoch_day, expression=as_kind(moment.this, "TIME")))
    elif isinstance(moment, exp.TsOrDsToDate | exp.TsOrDsToDatetime):
        moment = as_kind(moment.this, "DATE" if isinstance(moment, exp.TsOrDsToDate) else "DATETIME")
    pieces = [_piece(moment, piece, instant) for piece in SPECIAL.split(written) if piece]
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
    fraction = {"%S.%f": 6, "%E*S": 6}.get(piece) or (int(piece[2]) if piece[:2] == "%E" and piece[3:] == "S" else None)
    if fraction is not None:
        return call(
            "seconds_text",
            moment.copy(),
            exp.Literal.number(min(fraction, 6)),
            exp.true() if piece == "%E*S" else exp.false(),
        )
    if piece in _ELEMENTS:
        return call(
            f"element_{_ELEMENTS[piece]}", instant.copy() if instant is not None and piece == "%s" else moment.copy()
        )
    return function("strftime", moment.copy(), text(date_format(piece)))


def _literal(node: exp.Expr | None, what: str) -> str:
    if isinstance(node, exp.Literal | exp.RawString):
        return str(node.this)
    raise StepFailed(f"{what} has to be a literal here.")


def _parsed(kind: str) -> Rule:
    """PARSE_DATE and its family; where a fraction may be missing, both forms are tried."""

    def rule(node: exp.Expr) -> exp.Expr:
        pattern = date_format(_literal(node.args.get("format"), "a format"), parsing=True)
        forms = [text(pattern)] + ([text(pattern.replace("%S.%f", "%S"))] if "%S.%f" in pattern else [])
        formats = forms[0] if len(forms) == 1 else exp.Array(expressions=forms)
        moment = call("parsed", node.this, formats)
        zone = node.args.get("zone")
        if kind == "TIMESTAMP" and zone is not None:
            return instant_of(zone, cast(moment, "DATETIME"))
        return cast(moment, kind) if kind == "TIME" else call("in_range", cast(moment, kind), kind=kind)

    return rule


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.TimeToStr: _formatted,
    exp.StrToDate: _parsed("DATE"),
    exp.StrToTime: _parsed("TIMESTAMP"),
    exp.ParseTime: _parsed("TIME"),
    exp.ParseDatetime: _parsed("DATETIME"),
}
