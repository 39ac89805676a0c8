"""A file with one CREATE PROCEDURE: its name, arguments, options and body."""

from __future__ import annotations

from typing import Final

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.parser import read_block
from convergence.adapters.googlesql.scripts.statements import read_path, read_type
from convergence.adapters.googlesql.scripts.tokens import Tokens
from convergence.errors import ConfigError, did_you_mean

# Those of a procedure in SQL, by Google's reference of CREATE PROCEDURE. strict_mode says whether names are checked
# when the procedure is made; here a sync checks syntax and functions, a dry run or a call the names, in both modes.
_OPTIONS: Final = ("strict_mode", "description")


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
    path = read_path(tokens)
    arguments = _arguments(tokens)
    if tokens.accept("OPTIONS"):
        _check_options(tokens)
    body = read_block(tokens)
    tokens.accept(";")
    if not tokens.done:
        raise tokens.error("a file holds one procedure; nothing may follow it")
    parts = path.split(".")
    if len(parts) < 2:
        raise ConfigError(f"{path!r} names no dataset: write dataset.{path}", where=source)
    return nodes.Procedure(parts[-1], parts[-2], arguments, (body,), source)


def _arguments(tokens: Tokens) -> tuple[nodes.Argument, ...]:
    tokens.expect("(")
    found: list[nodes.Argument] = []
    while tokens.word() != ")":
        mode = tokens.word() if tokens.word() in {"IN", "OUT", "INOUT"} and tokens.word(1) not in {",", ")"} else "IN"
        if tokens.word() == mode:
            tokens.take()
        name = tokens.name()
        kind = None if tokens.accept("ANY", "TYPE") else read_type(tokens, {",", ")"})
        found.append(nodes.Argument(name, kind, mode))
        if not tokens.accept(","):
            break
    tokens.expect(")")
    return tuple(found)


def _check_options(tokens: Tokens) -> None:
    tokens.expect("(")
    while tokens.word() != ")":
        name = tokens.word().lower()
        if name not in _OPTIONS:
            raise tokens.error(f"a procedure has no option {name!r}.{did_you_mean(name, _OPTIONS)}")
        tokens.take()
        tokens.expect("=")
        if name == "strict_mode" and tokens.word() not in {"TRUE", "FALSE"}:
            raise tokens.error("strict_mode must be TRUE or FALSE")
        tokens.until({",", ")"}, "a value")
        if not tokens.accept(","):
            break
    tokens.expect(")")
