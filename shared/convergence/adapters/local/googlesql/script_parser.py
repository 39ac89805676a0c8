"""BigQuery's procedural language: tokens in, tree out. Only the block structure is ours; SQL stays text.

Grammar: cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from convergence.adapters.local.googlesql import script_nodes as nodes
from convergence.adapters.local.googlesql.script_nodes import Text
from convergence.adapters.local.googlesql.script_tokens import QUOTED, Tokens
from convergence.adapters.local.googlesql.types import SqlType, parse_type
from convergence.errors import ConfigError, InvalidInput

_BLOCK_ENDS: Final = frozenset({"END", "ELSE", "ELSEIF", "WHEN", "EXCEPTION", "UNTIL"})
_LABELLED: Final = frozenset({"LOOP", "WHILE", "REPEAT", "FOR", "BEGIN"})
_JUMPS: Final = {"LEAVE": True, "BREAK": True, "ITERATE": False, "CONTINUE": False}


def parse_script(text: str, source: str = "script") -> tuple[nodes.Node, ...]:
    """Parse a script.

    Raises:
        ConfigError: with `source:line:column` and the token.
    """
    tokens = Tokens(text, source)
    body = _statements(tokens)
    if not tokens.done:
        raise tokens.error("nothing opens the block that ends here")
    return body


def parse_procedure(text: str, source: str) -> nodes.Procedure:
    """Parse a file that holds one CREATE [OR REPLACE] PROCEDURE.

    Raises:
        ConfigError: with `source:line:column` and the token.
    """
    tokens = Tokens(text, source)
    tokens.expect("CREATE")
    tokens.accept("OR", "REPLACE")
    tokens.expect("PROCEDURE")
    tokens.accept("IF", "NOT", "EXISTS")
    path = _path(tokens)
    arguments = _arguments(tokens)
    if tokens.accept("OPTIONS"):
        _skip_brackets(tokens)
    mark = tokens.mark()
    tokens.expect("BEGIN")
    body = _statements(tokens)
    tokens.expect("END")
    whole = tokens.since(mark)
    tokens.accept(";")
    if not tokens.done:
        raise tokens.error("a file holds one procedure, nothing may follow it")
    parts = path.split(".")
    if len(parts) < 2:
        raise ConfigError(f"{path!r} names no dataset: write dataset.{path}", where=source)
    return nodes.Procedure(parts[-1], parts[-2], arguments, (nodes.Block(whole, body),), source)


def _statements(tokens: Tokens) -> tuple[nodes.Node, ...]:
    """Read statements up to a word that ends a block, which is not read."""
    found: list[nodes.Node] = []
    while not _at_end(tokens):
        if tokens.accept(";"):
            continue
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
        return _block(tokens, label)
    if word in _LABELLED - {"BEGIN"}:
        return _loop(tokens, label)
    read = _READERS.get(word.partition(" ")[0], _sql)  # BEGIN TRANSACTION is one token
    return read(tokens)


def _block(tokens: Tokens, label: str) -> nodes.Block:
    mark = tokens.mark()
    tokens.expect("BEGIN")
    body = _statements(tokens)
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


def _declare(tokens: Tokens) -> nodes.Declare:
    mark = tokens.mark()
    tokens.expect("DECLARE")
    names = [tokens.name()]
    while tokens.accept(","):
        names.append(tokens.name())
    kind = None if tokens.word() == "DEFAULT" else _type(tokens, {"DEFAULT"})
    default = tokens.until((), "a default") if tokens.accept("DEFAULT") else None
    if kind is None and default is None:
        raise tokens.error("a type or DEFAULT is expected")
    return nodes.Declare(tokens.since(mark), tuple(names), kind, default)


def _type(tokens: Tokens, stops: set[str]) -> SqlType:
    text = tokens.until(stops, "a type")
    try:
        return parse_type(text.sql)
    except InvalidInput as error:
        raise ConfigError(str(error), where=f"{tokens.source}:{text.line}:{text.column}") from error


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
    path = _path(tokens)
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


def _path(tokens: Tokens) -> str:
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


def _arguments(tokens: Tokens) -> tuple[nodes.Argument, ...]:
    tokens.expect("(")
    found: list[nodes.Argument] = []
    while tokens.word() != ")":
        mode = tokens.word() if tokens.word() in {"IN", "OUT", "INOUT"} and tokens.word(1) not in {",", ")"} else "IN"
        if tokens.word() == mode:
            tokens.take()
        name = tokens.name()
        kind = None if tokens.accept("ANY", "TYPE") else _type(tokens, {",", ")"})
        found.append(nodes.Argument(name, kind, mode))
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return tuple(found)


def _to_closing(tokens: Tokens, what: str) -> Text:
    text = tokens.until({")"}, what)
    tokens.expect(")")
    return text


def _skip_brackets(tokens: Tokens) -> None:
    tokens.expect("(")
    if tokens.word() != ")":
        tokens.until({")"}, "options")
    tokens.expect(")")


_READERS: Final[dict[str, Callable[[Tokens], nodes.Node]]] = {
    "ASSERT": _assert,
    "BEGIN": _transaction,
    "BREAK": _jump,
    "CALL": _call,
    "CASE": _case,
    "COMMIT": _transaction,
    "CONTINUE": _jump,
    "DECLARE": _declare,
    "EXECUTE": _execute,
    "IF": _if,
    "ITERATE": _jump,
    "LEAVE": _jump,
    "RAISE": _raise,
    "RETURN": _jump,
    "ROLLBACK": _transaction,
    "SET": _set,
}
