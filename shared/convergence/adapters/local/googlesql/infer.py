"""Types of expressions, as far as they can be known before running: the rules for NUMERIC need them.

sqlglot's optimizer does it on a copy; nodes keep their numbers there, so types travel back. A type that stays
unknown costs precision nowhere silently: rules that depend on it take DuckDB's own types then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

if TYPE_CHECKING:
    from convergence.adapters.local.googlesql.translate import Catalog

_NUMBER: Final = "convergence.number"


def infer_types(tree: exp.Expr, catalog: Catalog, dataset: str) -> None:
    """Set `type` on every node of `tree` whose type can be inferred."""
    nodes = list(tree.walk())
    for number, node in enumerate(nodes):
        node.meta[_NUMBER] = number
    schema = MappingSchema(dialect="bigquery", normalize=False)
    for (owner, table), columns in catalog.items():
        name = exp.table_(table, db=owner or dataset, quoted=True)
        schema.add_table(name, {column: str(kind) for column, kind in columns}, dialect="bigquery", match_depth=False)
    copy = tree.copy()
    for query in _queries(copy):
        _annotate(query, schema)
    annotate_types(copy, schema=schema, dialect="bigquery")
    for node in copy.walk():
        number = node.meta.get(_NUMBER)
        if number is not None and node.type is not None and not nodes[number].type:
            nodes[number].type = node.type


def _queries(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.Query):
        return [tree]
    inner = tree.args.get("expression")
    return [inner] if isinstance(inner, exp.Query) else []


def _annotate(query: exp.Expr, schema: MappingSchema) -> None:
    try:
        qualify(
            query,
            dialect="bigquery",
            schema=schema,
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
            allow_partial_qualification=True,
        )
        annotate_types(query, schema=schema, dialect="bigquery")
    except SqlglotError:
        return  # DuckDB's binder names what is wrong, better than the optimizer does
