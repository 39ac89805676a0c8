"""BigQuery's procedural language: tokens in, tree out. Only the block structure is ours; SQL stays text.

Grammar: cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language.
"""

from __future__ import annotations

from typing import Final

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.scripts.statements import read_statement
from convergence.adapters.googlesql.scripts.tokens import Tokens

_BLOCK_ENDS: Final = frozenset({"END", "ELSE", "ELSEIF", "WHEN", "EXCEPTION", "UNTIL"})
_LABELLED: Final = frozenset({"LOOP", "WHILE", "REPEAT", "FOR", "BEGIN"})


def parse_script(text: str, source: str = "script") -> tuple[nodes.Node, ...]:
    """Parse a script.

    Raises:
        ConfigError: with `source:line:column` and the token.
    """
    tokens = Tokens(text, source)
    body = _statements(tokens, declares=True)
    if not tokens.done:
        raise tokens.error("nothing opens the block that ends here")
    return body


def _statements(tokens: Tokens, *, declares: bool = False) -> tuple[nodes.Node, ...]:
    """Read statements up to a word that ends a block, which is not read; `declares`: the first ones may be DECLARE."""
    found: list[nodes.Node] = []
    while not _at_end(tokens):
        if tokens.accept(";"):
            continue
        declares = declares and tokens.word() == "DECLARE"
        if tokens.word() == "DECLARE" and not declares:
            raise tokens.error(
                "variables are declared at the start of a script or of BEGIN … END, before other statements"
            )
        found.append(_statement(tokens))
        if not _at_end(tokens):
            tokens.expect(";")
    return tuple(found)


def _at_end(tokens: Tokens) -> bool:
    return tokens.done or tokens.word() in _BLOCK_ENDS


def _statement(tokens: Tokens) -> nodes.Node:
    label = ""
    if tokens.word(1) == ":" and tokens.word(2) in _LABELLED:
        label = tokens.name()
        tokens.expect(":")
    word = tokens.word()
    if word == "BEGIN" and tokens.word(1) not in {"TRANSACTION", ";"}:
        return read_block(tokens, label)
    if word in _LABELLED - {"BEGIN"}:
        return _loop(tokens, label)
    if word in {"IF", "CASE"}:
        return _if(tokens) if word == "IF" else _case(tokens)
    return read_statement(tokens)


def read_block(tokens: Tokens, label: str = "") -> nodes.Block:
    """Read BEGIN … END with its handler. Raises `ConfigError`."""
    mark = tokens.mark()
    tokens.expect("BEGIN")
    body = _statements(tokens, declares=True)
    handler: tuple[nodes.Node, ...] | None = None
    if tokens.accept("EXCEPTION"):
        tokens.expect("WHEN", "ERROR", "THEN")
        handler = _statements(tokens)
    tokens.expect("END")
    _end_label(tokens, label)
    return nodes.Block(tokens.since(mark), body, handler, label)


def _loop(tokens: Tokens, label: str) -> nodes.Node:
    mark = tokens.mark()
    word = str(tokens.take().text).upper()
    if word == "FOR":
        return _for(tokens, mark, label)
    condition = until = None
    if word == "WHILE":
        condition = tokens.until({"DO"}, "a condition")
        tokens.expect("DO")
    body = _statements(tokens)
    if word == "REPEAT":
        tokens.expect("UNTIL")
        until = tokens.until({"END"}, "a condition")
    tokens.expect("END", word)
    _end_label(tokens, label)
    return nodes.Loop(tokens.since(mark), body, condition, until, label)


def _for(tokens: Tokens, mark: int, label: str) -> nodes.ForIn:
    name = tokens.name()
    tokens.expect("IN", "(")
    query = _to_closing(tokens, "a query")
    tokens.expect("DO")
    body = _statements(tokens)
    tokens.expect("END", "FOR")
    _end_label(tokens, label)
    return nodes.ForIn(tokens.since(mark), name, query, body, label)


def _end_label(tokens: Tokens, label: str) -> None:
    if label and tokens.word() == label.upper():
        tokens.take()


def _if(tokens: Tokens) -> nodes.If:
    mark = tokens.mark()
    tokens.expect("IF")
    branches = [_branch(tokens)]
    while tokens.accept("ELSEIF"):
        branches.append(_branch(tokens))
    otherwise = _statements(tokens) if tokens.accept("ELSE") else ()
    tokens.expect("END", "IF")
    return nodes.If(tokens.since(mark), tuple(branches), otherwise)


def _case(tokens: Tokens) -> nodes.If:
    mark = tokens.mark()
    tokens.expect("CASE")
    subject = None if tokens.word() == "WHEN" else tokens.until({"WHEN"}, "an expression")
    branches: list[nodes.Branch] = []
    while tokens.accept("WHEN"):
        branches.append(_branch(tokens))
    if not branches:
        raise tokens.error("WHEN is expected")
    otherwise = _statements(tokens) if tokens.accept("ELSE") else ()
    tokens.expect("END", "CASE")
    return nodes.If(tokens.since(mark), tuple(branches), otherwise, subject)


def _branch(tokens: Tokens) -> nodes.Branch:
    condition = tokens.until({"THEN"}, "a condition")
    tokens.expect("THEN")
    return nodes.Branch(condition, _statements(tokens))


def _to_closing(tokens: Tokens, what: str) -> Text:
    text = tokens.until({")"}, what)
    tokens.expect(")")
    return text
