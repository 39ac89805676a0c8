"""ALTER TABLE with several clauses, as in BigQuery: sqlglot parses each clause alone, but not all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlglot import Token, TokenType, exp

_BEGIN: Final = frozenset({"ADD", "RENAME", "DROP", "ALTER", "SET"})
_OPEN: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.LT})
_CLOSE: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.GT})

Clause = Sequence[Token]


def several_clauses(sql: str, tokens: Sequence[Token], parse: Callable[[str], exp.Expr]) -> exp.Expr | None:
    """Return the statement with the actions of all its clauses; None where it is not an ALTER TABLE that can be read.

    OPTIONS describe a column and change no row: a clause that sets nothing else becomes an action without content.
    """
    words = [token.text.upper() if token.token_type is not TokenType.IDENTIFIER else "" for token in tokens]
    if words[:2] != ["ALTER", "TABLE"]:
        return None
    first = next((index for index, word in enumerate(words[2:], 2) if word in _BEGIN), 0)
    if not first:
        return None
    head = sql[tokens[0].start : tokens[first - 1].end + 1]
    whole: exp.Alter | None = None
    actions: list[exp.Expr] = []
    for clause in _clauses(tokens[first:]):
        kept = _without_options(clause)
        only_options = kept is not clause and _words(kept)[-1:] == ["SET"]
        if only_options:
            actions.append(exp.AlterSet(expressions=[]))
            continue
        if not kept:
            return None
        read = parse(f"{head} {sql[kept[0].start : kept[-1].end + 1]}")
        if not isinstance(read, exp.Alter):
            return None
        actions += read.args["actions"]
        whole = whole or read
    whole = whole or _nothing(parse(f"{head} SET OPTIONS (description = '')"))
    if whole is not None:
        whole.set("actions", actions)
    return whole


def _nothing(read: exp.Expr) -> exp.Alter | None:
    return read if isinstance(read, exp.Alter) else None


def _clauses(tokens: Sequence[Token]) -> Iterator[Clause]:
    """Yield the parts between commas outside of all brackets."""
    depth, start = 0, 0
    for index, token in enumerate(tokens):
        if token.token_type in _OPEN:
            depth += 1
        elif token.token_type in _CLOSE:
            depth -= 1
        elif token.token_type is TokenType.COMMA and depth == 0:
            yield tokens[start:index]
            start = index + 1
        elif token.token_type is TokenType.SEMICOLON:
            tokens = tokens[:index]
            break
    yield tokens[start:]


def _without_options(clause: Clause) -> Clause:
    """Return the clause up to its OPTIONS (…); the same object where it has none."""
    for index, word in enumerate(_words(clause)[:-1]):
        if word == "OPTIONS" and clause[index + 1].token_type is TokenType.L_PAREN:
            return clause[:index]
    return clause


def _words(clause: Clause) -> list[str]:
    return [token.text.upper() for token in clause]
