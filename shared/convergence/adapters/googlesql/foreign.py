"""Syntax of other databases: the parser accepts that of some thirty, and DuckDB supports most of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import Token, TokenType, exp

from convergence.errors import StepFailed

_ELSEWHERE: Final = {
    TokenType.DCOLON: "CAST(x AS type)",
    TokenType.ILIKE: "LOWER(x) LIKE 'a%'",
    TokenType.MOD: "MOD(x, y)",
    TokenType.RLIKE: "REGEXP_CONTAINS(x, pattern)",
    TokenType.SIMILAR_TO: "REGEXP_CONTAINS(x, pattern)",
    TokenType.GLOB: "LIKE",
    TokenType.NULLSAFE_EQ: "IS NOT DISTINCT FROM",
    TokenType.NATIONAL_STRING: "'text'",
    TokenType.HEREDOC_STRING: "r'text'",
}
_SPELLED: Final = {"==": "=", "!": "NOT"}
_AROUND: Final = frozenset({"with_", "joins", "pivots", "order", "limit", "offset"})
_QUERY: Final = _AROUND | {"expressions", "distinct", "from_", "where", "group", "having", "qualify", "windows"}
_PARTS: Final[Mapping[type[exp.Expr], frozenset[str]]] = {
    exp.Select: _QUERY | {"kind", "operation_modifiers", "hint"},
    exp.Subquery: _QUERY | {"this", "alias"},
    **dict.fromkeys(
        (exp.Union, exp.Intersect, exp.Except),
        _AROUND | {"this", "expression", "distinct", "by_name", "side", "kind", "on"},
    ),
    exp.Table: frozenset(
        {"this", "alias", "db", "catalog", "joins", "pivots", "system_time", "version", "when", "sample", "ordinality"}
    ),
    exp.Join: frozenset({"this", "on", "side", "kind", "using", "pivots", "expressions"}),
    exp.Group: frozenset({"expressions", "grouping_sets", "cube", "rollup", "all"}),
    exp.Distinct: frozenset({"expressions"}),
    exp.Limit: frozenset({"this", "expression", "offset", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Insert: frozenset({"with_", "this", "expression"}),
    exp.Update: frozenset({"with_", "this", "expressions", "from_", "where"}),
    exp.Delete: frozenset({"with_", "this", "where", "tables"}),
    exp.Merge: frozenset({"with_", "this", "using", "on", "whens"}),
}
_KINDS: Final = frozenset({"", "INNER", "CROSS", "OUTER"})
_UNKNOWN: Final = (
    exp.Fetch, exp.Lateral, exp.Escape, exp.Collate, exp.Returning, exp.Overlaps, exp.Comprehension, exp.Slice,
    exp.Distance, exp.Operator, exp.CurrentUser, exp.CurrentRole,
)  # fmt: skip


def refuse_foreign_signs(tokens: list[Token]) -> None:
    """Raise `StepFailed` for a token that BigQuery does not have."""
    before: Token | None = None
    for token in tokens:
        instead = _ELSEWHERE.get(token.token_type) or _SPELLED.get(token.text)
        if instead and token.token_type not in {TokenType.STRING, TokenType.IDENTIFIER}:
            _refuse(token, f"GoogleSQL does not have {token.text}; write {instead}")
        if before is not None and before.token_type == TokenType.NUMBER and _touch(before, token):
            _refuse(token, f"{before.text}{token.text} is not a number: put a space between a number and a name")
        if before is not None and before.token_type == TokenType.STAR and token.text.upper() == "EXCLUDE":
            _refuse(token, "GoogleSQL does not have EXCLUDE; write EXCEPT")
        before = token


def _touch(number: Token, token: Token) -> bool:
    return token.token_type == TokenType.VAR and token.start == number.end + 1


def _refuse(token: Token, message: str) -> None:
    raise StepFailed(f"line {token.line}, column {token.col}: {message}.")


def refuse_foreign_forms(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a clause or an operator that BigQuery does not have."""
    for node in tree.walk():
        allowed = _PARTS.get(type(node))
        extra = (
            next((part for part, value in node.args.items() if value and part not in allowed), "") if allowed else ""
        )
        if extra:
            raise StepFailed(f"GoogleSQL does not have {extra.strip('_').upper()} in {node.key.upper()}.")
        if isinstance(node, _UNKNOWN):
            raise StepFailed(f"GoogleSQL does not have {node.key.upper()}.")
        if isinstance(node, exp.Join) and str(node.args.get("kind") or "").upper() not in _KINDS:
            raise StepFailed(f"GoogleSQL does not have {node.args['kind']} JOIN.")
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and not node.this.args.get("joins"):
            raise StepFailed(
                f"GoogleSQL does not have ({node.this.sql('bigquery')}) in FROM; leave out the parentheses."
            )
        if isinstance(node, exp.AtTimeZone) and not isinstance(node.parent, exp.Extract):
            raise StepFailed("AT TIME ZONE is allowed in EXTRACT only; write DATETIME(x, 'zone').")
        if isinstance(node, exp.Values) and isinstance(node.parent, exp.From | exp.Join | exp.Subquery):
            raise StepFailed("GoogleSQL does not have VALUES in FROM; write UNNEST([…]).")
