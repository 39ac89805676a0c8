"""How large a statement may be. The parser's and the translation's time grows with it, in part with its square."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from convergence.errors import StepFailed

BYTES_MAX: Final = 1024 * 1024  # BigQuery's limit for the text of a query (quotas page, "unresolved query length")
TOKENS_MAX: Final = 30_000  # words, punctuation and literals
QUERIES_MAX: Final = 500  # SELECTs: each branch of a set operation, each subquery, each WITH
SET_OPERATIONS_MAX: Final = 250  # UNION, INTERSECT and EXCEPT
NESTING_MAX: Final = 50  # nested brackets and CASE
JOINS_MAX: Final = 1_000  # commas in FROM included; BigQuery takes 1,000 tables in a query

_SET_OPERATIONS: Final = frozenset({TokenType.UNION, TokenType.INTERSECT, TokenType.EXCEPT})
_OPEN: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE})
_CLOSED: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END})


def check_length(text: str) -> None:
    """Raise `StepFailed` when a text is too long to be cut into tokens."""
    size = len(text) if len(text) > BYTES_MAX else len(text.encode(errors="surrogatepass"))
    _check(size, BYTES_MAX, "bytes")


def check_tokens(tokens: Sequence[Token]) -> None:
    """Raise `StepFailed` when a statement has too many parts, or nests them too deeply, to be parsed."""
    _check(len(tokens), TOKENS_MAX, "words and signs")
    kinds = [token.token_type for token in tokens]
    _check(kinds.count(TokenType.SELECT), QUERIES_MAX, "SELECTs")
    # `* EXCEPT (a)` leaves columns out and is not a set operation.
    found = sum(kind in _SET_OPERATIONS and last is not TokenType.STAR for last, kind in pairwise([None, *kinds]))
    _check(found, SET_OPERATIONS_MAX, "set operations (UNION, INTERSECT, EXCEPT)")
    depth = deepest = 0
    for kind in kinds:
        depth = depth + 1 if kind in _OPEN else max(depth - 1, 0) if kind in _CLOSED else depth
        deepest = max(deepest, depth)
    _check(deepest, NESTING_MAX, "nested brackets and CASEs")


def check_joins(tree: exp.Expr) -> None:
    """Raise `StepFailed` when a parsed statement joins too many tables to be translated."""
    _check(sum(1 for _ in tree.find_all(exp.Join)), JOINS_MAX, "joins")


def _check(found: int, most: int, what: str) -> None:
    if found > most:
        raise StepFailed(f"The statement has {found:,} {what}; the limit is {most:,}. Split the statement.")
