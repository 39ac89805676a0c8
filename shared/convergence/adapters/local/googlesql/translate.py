"""One GoogleSQL statement in, one DuckDB statement out, with what it touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import SqlglotError

from convergence.adapters.local.googlesql.access import QUERIES, Touched, check_access
from convergence.adapters.local.googlesql.dialect import source, to_duckdb
from convergence.adapters.local.googlesql.types import parse_type
from convergence.errors import InvalidInput, StepFailed, nearest
from convergence.ports.warehouse import Scope


@dataclass(frozen=True, slots=True)
class Translation:
    """A statement ready to run. `parameters` are the names it uses, in lower case."""

    sql: str
    touched: Touched
    is_query: bool
    parameters: frozenset[str]


@dataclass(frozen=True, slots=True)
class Around:
    """What a statement's meaning depends on besides its text. Hashable: it is part of the cache's key."""

    scope: Scope
    project: str
    parameters: tuple[tuple[str, str], ...] = ()  # name in lower case, GoogleSQL type
    temporary: frozenset[str] = frozenset()


def translate(sql: str, around: Around) -> Translation:
    """Translate one statement.

    Raises:
        StepFailed: it does not parse, is more than one statement, or has a construct that cannot run here.
        Denied: it reaches outside of its scope.
        InvalidInput: a query parameter has no value.
    """
    tree = parse_statement(sql)
    touched = check_access(tree, around.scope, project=around.project, temporary=around.temporary)
    used = _bind_parameters(tree, dict(around.parameters))
    return Translation(to_duckdb(tree), touched, isinstance(tree, QUERIES), used)


def parse_statement(sql: str) -> exp.Expr:
    """Parse exactly one statement. Raises `StepFailed` with line, column and the token."""
    try:
        trees = [tree for tree in source().parse(sql) if tree is not None]
    except SqlglotError as error:
        raise StepFailed(_where(error)) from error
    if len(trees) != 1:
        raise StepFailed(f"One statement is expected, {len(trees)} were given.")
    return trees[0]


def _where(error: SqlglotError) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return f"syntax error: {error}"
    first = details[0]
    return (
        f"line {first['line']}, column {first['col']}: syntax error at {first['highlight']!r}: {first['description']}"
    )


def _bind_parameters(tree: exp.Expr, types: Mapping[str, str]) -> frozenset[str]:
    """Give every `@name` its declared type."""
    used: set[str] = set()
    for node in list(tree.find_all(exp.Parameter)):
        if isinstance(node.this, exp.Parameter) or isinstance(node.parent, exp.Parameter):
            raise StepFailed(f"@@{node.name or node.this.name} has a meaning in scripts only.")
        name = node.name.lower()
        if name not in types:
            raise InvalidInput(f"The statement's parameter @{name} has no value.{nearest(name, types)}")
        used.add(name)
        kind = exp.DataType.build(parse_type(types[name]).duckdb, dialect="duckdb")
        node.replace(exp.Cast(this=exp.Parameter(this=exp.Var(this=name)), to=kind))
    return frozenset(used)
