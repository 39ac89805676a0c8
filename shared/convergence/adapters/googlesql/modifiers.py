"""Modifiers in and after a call: the parser accepts each in every call, GoogleSQL only where it has a meaning."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from convergence.errors import StepFailed

_NULLS: Final = (
    exp.ArrayAgg, exp.ApproxQuantiles, exp.FirstValue, exp.LastValue, exp.NthValue, exp.PercentileCont,
    exp.PercentileDisc,
)  # fmt: skip
_ORDERED: Final = (exp.ArrayAgg, exp.ArrayConcatAgg, exp.GroupConcat)
_RANKS: Final = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lag, exp.Lead)
_QUANTILES: Final = (exp.PercentileCont, exp.PercentileDisc)
_NUMBERED: Final = (*_RANKS, *_QUANTILES, exp.RowNumber)  # without a frame
_ONLY_WINDOWS: Final = (*_NUMBERED, exp.FirstValue, exp.LastValue, exp.NthValue)
_NO_WINDOW: Final = (exp.ArrayConcatAgg, exp.ApproxQuantiles)
_HOLDERS: Final = (exp.Select, exp.SetOperation, exp.Subquery, exp.Window, exp.WithinGroup)


def refuse_modifiers(tree: exp.Expr) -> None:
    """Raise `StepFailed` for DISTINCT, ORDER BY, LIMIT, NULLS, FILTER or OVER in a call that cannot have it."""
    for node in tree.find_all(
        exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Order, exp.Limit, exp.Distinct, exp.Window
    ):
        if isinstance(node, exp.Filter):
            raise StepFailed("GoogleSQL does not have FILTER (WHERE …); write IF(condition, x, NULL) in the aggregate.")
        if isinstance(node, exp.WithinGroup):
            raise StepFailed("GoogleSQL does not have WITHIN GROUP.")
        if isinstance(node, exp.Window):
            _check_window(node)
        elif isinstance(node, exp.IgnoreNulls | exp.RespectNulls):
            called = node.this if isinstance(node.this, exp.AggFunc) else node.find_ancestor(exp.Func)
            _allow(called, _NULLS, "IGNORE NULLS" if isinstance(node, exp.IgnoreNulls) else "RESPECT NULLS")
        elif not isinstance(node.parent, _HOLDERS):
            _check_argument(node)


def _check_argument(node: exp.Expr) -> None:
    """ORDER BY, LIMIT or DISTINCT that is not a query's."""
    called = node.parent
    while isinstance(called, exp.Order | exp.Limit | exp.Distinct | exp.HavingMax):
        called = called.parent
    if not isinstance(called, exp.Func):
        return
    if not isinstance(node, exp.Distinct):
        _allow(called, _ORDERED, "ORDER BY" if isinstance(node, exp.Order) else "LIMIT")
    elif not isinstance(called, exp.AggFunc) or isinstance(called, _ONLY_WINDOWS):
        _allow(called, (), "DISTINCT")
    elif len(node.expressions) > 1:
        raise StepFailed(
            f"{_name(called)}(DISTINCT …) takes one value; combine several into one, for example with CONCAT."
        )


def _allow(called: exp.Expr | None, kinds: tuple[type[exp.Expr], ...], words: str) -> None:
    if not isinstance(called, kinds):
        raise StepFailed(f"{_name(called)} does not take {words}.")


def _name(called: exp.Expr | None) -> str:
    if isinstance(called, exp.GroupConcat):
        return "STRING_AGG"
    return str(called.sql_name()) if isinstance(called, exp.Func) else "This expression"


def _check_window(node: exp.Window) -> None:
    called = node.this.this if isinstance(node.this, exp.IgnoreNulls | exp.RespectNulls) else node.this
    spec, order = node.args.get("spec"), node.args.get("order")
    if called is None or not isinstance(called, exp.Func):  # WINDOW w AS (…)
        _check_frame(spec)
        return
    name = _name(called)
    if not isinstance(called, (exp.AggFunc, exp.Anonymous, *_ONLY_WINDOWS)) or isinstance(called, _NO_WINDOW):
        raise StepFailed(f"{name} does not take OVER.")
    _check_frame(spec)
    if spec is not None and isinstance(called, _NUMBERED):
        raise StepFailed(f"{name} does not take ROWS or RANGE in its window.")
    if order is not None and (isinstance(called, _QUANTILES) or isinstance(called.this, exp.Distinct)):
        raise StepFailed(
            f"{name}{'' if isinstance(called, _QUANTILES) else '(DISTINCT …)'} does not take ORDER BY in OVER."
        )
    if order is None and isinstance(called, _RANKS) and not node.args.get("alias"):
        raise StepFailed(f"{name} needs ORDER BY in its window.")
    if isinstance(called.this, exp.Order | exp.Limit):
        raise StepFailed(f"{name} with OVER does not take ORDER BY or LIMIT among its arguments.")


def _check_frame(spec: exp.Expr | None) -> None:
    if spec is None:
        return
    if spec.args.get("exclude") is not None or str(spec.args.get("kind")).upper() == "GROUPS":
        raise StepFailed("GoogleSQL does not have EXCLUDE or GROUPS in a window's frame.")
