"""Operands that GoogleSQL refuses by type and DuckDB casts: numbers as text, text as a number, numbers as BOOL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import kind_of
from convergence.errors import StepFailed

_TEXT: Final = frozenset({"STRING", "BYTES"})
_BOOL: Final = frozenset({"BOOL"})
_NUMBER: Final = frozenset({"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64"})
_SUM: Final = _NUMBER | {"DATE", "DATETIME", "TIMESTAMP", "TIME", "INTERVAL"}
# The types allowed for `this` and, in an operator, for the other side.
_TAKEN: Final[Mapping[type[exp.Expr], frozenset[str]]] = {
    **dict.fromkeys((exp.Upper, exp.Lower, exp.Length, exp.ByteLength, exp.StartsWith, exp.EndsWith), _TEXT),
    **dict.fromkeys((exp.Substring, exp.Trim, exp.Split, exp.Reverse, exp.Left, exp.Right, exp.Repeat, exp.Pad), _TEXT),
    **dict.fromkeys((exp.Replace, exp.RegexpLike, exp.RegexpExtract, exp.RegexpExtractAll, exp.RegexpReplace), _TEXT),
    **dict.fromkeys((exp.Like, exp.Initcap, exp.Ascii, exp.Unicode, exp.Translate, exp.StrPosition), _TEXT),
    **dict.fromkeys((exp.And, exp.Or, exp.Not, exp.Where, exp.Having, exp.CountIf), _BOOL),
    **dict.fromkeys((exp.LogicalAnd, exp.LogicalOr), _BOOL),
    **dict.fromkeys((exp.Mul, exp.Div, exp.Neg), _NUMBER | {"INTERVAL"}),
    **dict.fromkeys((exp.Add, exp.Sub), _SUM),
    **dict.fromkeys((exp.Abs, exp.Round, exp.Ceil, exp.Floor, exp.Trunc, exp.Sqrt, exp.Exp, exp.Ln), _NUMBER),
    **dict.fromkeys((exp.Mod, exp.IntDiv, exp.Sum, exp.Avg), _NUMBER | {"INTERVAL"}),
    **dict.fromkeys((exp.SHA1Digest, exp.SHA2Digest, exp.MD5Digest, exp.SHA, exp.SHA2, exp.MD5), _TEXT),
    **dict.fromkeys((exp.LowerHex, exp.ToBase64), frozenset({"BYTES"})),
    **dict.fromkeys((exp.Unhex, exp.FromBase64, exp.Levenshtein), frozenset({"STRING"})),
}
# What has a meaning for BYTES that DuckDB does not have.
_NO_BYTES: Final = (
    exp.Repeat, exp.Pad, exp.Replace, exp.RegexpLike, exp.RegexpExtract, exp.RegexpExtractAll, exp.RegexpReplace,
    exp.Split, exp.Like, exp.Initcap, exp.Ascii, exp.Unicode, exp.Translate, exp.StrPosition, exp.StartsWith,
    exp.EndsWith, exp.Upper, exp.Lower, exp.Reverse, exp.Left, exp.Right, exp.GroupConcat,
)  # fmt: skip
_BOTH: Final = (exp.Binary, exp.And, exp.Or)


def check_arguments(node: exp.Expr) -> None:
    """Raise `StepFailed` for an operand whose type is known and wrong."""
    if isinstance(node, _NO_BYTES) and kind_of(node.this) == "BYTES":
        raise StepFailed(f"{name_of(node)} of BYTES cannot run here.")
    taken = _TAKEN.get(type(node))
    if taken is None:
        return
    sides = [node.this, node.args.get("expression")] if isinstance(node, _BOTH) else [node.this]
    for side in sides:
        kind = kind_of(side)
        if kind and kind not in taken and not _is_null(side):
            raise StepFailed(f"{name_of(node)} takes {' or '.join(sorted(taken))}, not {kind}.")


def _is_null(side: exp.Expr | None) -> bool:
    return side is None or isinstance(side.unnest(), exp.Null | exp.Distinct | exp.Any | exp.All)


def name_of(node: exp.Expr) -> str:
    """Return the name of a function or operator in messages."""
    return str(node.sql_name()) if isinstance(node, exp.Func) else node.key.upper()
