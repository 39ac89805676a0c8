"""Statements of a script that have no body: DECLARE, SET, ASSERT, RAISE, CALL, EXECUTE IMMEDIATE, jumps, SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.scripts.tokens import QUOTED, Tokens
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.errors import ConfigError, InvalidInput

_JUMPS: Final = {"LEAVE": True, "BREAK": True, "ITERATE": False, "CONTINUE": False}


def read_statement(tokens: Tokens) -> nodes.Node:
    """Read one statement, up to its semicolon; what no keyword below begins is SQL. Raises `ConfigError`."""
    return _READERS.get(tokens.word().partition(" ")[0], _sql)(tokens)  # BEGIN TRANSACTION is one token


def _declare(tokens: Tokens) -> nodes.Declare:
    mark = tokens.mark()
    tokens.expect("DECLARE")
    names = [tokens.name()]
    while tokens.accept(","):
        names.append(tokens.name())
    kind = None if tokens.word() == "DEFAULT" else read_type(tokens, {"DEFAULT"})
    default = tokens.until((), "a default") if tokens.accept("DEFAULT") else None
    if kind is None and default is None:
        raise tokens.error("a type or DEFAULT is expected")
    return nodes.Declare(tokens.since(mark), tuple(names), kind, default)


def _set(tokens: Tokens) -> nodes.Node:
    mark = tokens.mark()
    tokens.expect("SET")
    if tokens.accept("@"):
        raise tokens.error("system variables cannot be set here")
    names: list[str] = []
    if tokens.accept("("):
        names = [tokens.name()]
        while tokens.accept(","):
            names.append(tokens.name())
        tokens.expect(")")
    else:
        names = [tokens.name()]
    tokens.expect("=")
    value = tokens.until((), "a value")
    return nodes.Assign(tokens.since(mark), tuple(names), value)


def _assert(tokens: Tokens) -> nodes.Assert:
    mark = tokens.mark()
    tokens.expect("ASSERT")
    condition = tokens.until({"AS"}, "a condition")
    message = str(tokens.take().text) if tokens.accept("AS") else ""
    return nodes.Assert(tokens.since(mark), condition, message)


def _raise(tokens: Tokens) -> nodes.Raise:
    mark = tokens.mark()
    tokens.expect("RAISE")
    message = None
    if tokens.accept("USING"):
        tokens.expect("MESSAGE", "=")
        message = tokens.until((), "a message")
    return nodes.Raise(tokens.since(mark), message)


def _call(tokens: Tokens) -> nodes.Call:
    mark = tokens.mark()
    tokens.expect("CALL")
    path = read_path(tokens)
    tokens.expect("(")
    arguments: list[Text] = []
    while tokens.word() != ")":
        arguments.append(tokens.until({",", ")"}, "an argument"))
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return nodes.Call(tokens.since(mark), path, tuple(arguments))


def _execute(tokens: Tokens) -> nodes.Execute:
    mark = tokens.mark()
    tokens.expect("EXECUTE", "IMMEDIATE")
    sql = tokens.until({"INTO", "USING"}, "SQL")
    into: list[str] = []
    if tokens.accept("INTO"):
        into = [tokens.name()]
        while tokens.accept(","):
            into.append(tokens.name())
    using: list[tuple[str, Text]] = []
    if tokens.accept("USING"):
        using = [_used(tokens)]
        while tokens.accept(","):
            using.append(_used(tokens))
    return nodes.Execute(tokens.since(mark), sql, tuple(into), tuple(using))


def _used(tokens: Tokens) -> tuple[str, Text]:
    value = tokens.until({",", "AS"}, "a value")
    return (tokens.name() if tokens.accept("AS") else ""), value


def _jump(tokens: Tokens) -> nodes.Jump:
    mark = tokens.mark()
    word = str(tokens.take().text).upper()
    if word == "RETURN":
        return nodes.Jump(tokens.since(mark), leave=True, label=None)
    label = "" if tokens.done or tokens.word() == ";" else tokens.name()
    return nodes.Jump(tokens.since(mark), leave=_JUMPS[word], label=label)


def _transaction(tokens: Tokens) -> nodes.Transaction:
    mark = tokens.mark()
    action = str(tokens.take().text).upper().partition(" ")[0]
    tokens.accept("TRANSACTION")
    return nodes.Transaction(tokens.since(mark), action)


def _sql(tokens: Tokens) -> nodes.Sql:
    return nodes.Sql(tokens.until((), "a statement"))


def read_path(tokens: Tokens) -> str:
    """Read a.b.c with or without backticks, a project with dashes included; return it without backticks."""
    parts = [str(tokens.take().text)]
    while (token := tokens.peek()) is not None and (token.text in {".", "-"} or _joined(tokens)):
        parts.append(str(tokens.take().text))
    return "".join(parts)


def _joined(tokens: Tokens) -> bool:
    """Whether the next token continues a path: it follows a dot or a dash."""
    before, token = tokens.peek(-1), tokens.peek()
    if before is None or token is None:
        return False
    return before.text in {".", "-"} and before.token_type not in QUOTED


def read_type(tokens: Tokens, stops: set[str]) -> SqlType:
    """Read a type up to one of the keywords. Raises `ConfigError` with the nearest name."""
    text = tokens.until(stops, "a type")
    try:
        return parse_type(text.sql)
    except InvalidInput as error:
        raise ConfigError(str(error), where=f"{tokens.source}:{text.line}:{text.column}") from error


_READERS: Final[dict[str, Callable[[Tokens], nodes.Node]]] = {
    "ASSERT": _assert,
    "BEGIN": _transaction,
    "BREAK": _jump,
    "CALL": _call,
    "COMMIT": _transaction,
    "CONTINUE": _jump,
    "DECLARE": _declare,
    "EXECUTE": _execute,
    "ITERATE": _jump,
    "LEAVE": _jump,
    "RAISE": _raise,
    "RETURN": _jump,
    "ROLLBACK": _transaction,
    "SET": _set,
}
