"""Types of expressions, as far as they can be known before running: the rules for NUMERIC need them.

sqlglot's optimizer does it on a copy; nodes keep their numbers there, so types travel back. A type that stays unknown
never costs precision silently: rules that depend on it take DuckDB's own types then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from convergence.adapters.local.duckdb_sql.column_types import fill_column_types

if TYPE_CHECKING:
    from convergence.adapters.googlesql.types import Catalog

COLUMNS: Final = "convergence.columns"  # of a Select: names and types of its columns, those of stars too
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
        _qualify(query, schema)
    for node in copy.walk():
        origin = node.meta.get(_NUMBER)
        if not isinstance(origin, int):
            continue
        if _known(node) and not _known(nodes[origin]):
            nodes[origin].type = node.type
        if isinstance(node, exp.Select):  # its stars are expanded into columns here
            nodes[origin].meta[COLUMNS] = [(each.output_name, each.type) for each in node.selects]
    for _ in range(2):  # the second time arrays have types, so their elements can be found
        fill_column_types(tree, catalog)
        _annotate(tree, schema)


def _known(node: exp.Expr) -> bool:
    return node.type is not None and not node.is_type(exp.DataType.Type.UNKNOWN)


def _queries(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.Query):
        return [tree]
    inner = tree.args.get("expression")
    return [inner] if isinstance(inner, exp.Query) else []


def _qualify(query: exp.Expr, schema: MappingSchema) -> None:
    with suppress(*_MISTAKES):
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


def _annotate(tree: exp.Expr, schema: MappingSchema) -> None:
    with suppress(*_MISTAKES):
        annotate_types(tree, schema=schema, dialect="bigquery", overwrite_types=False)


# What the optimizer raises for a wrong statement: DuckDB's binder gives the better message.
_MISTAKES: Final = (SqlglotError, AssertionError, AttributeError, KeyError, TypeError, ValueError)
