"""Types of columns by looking at the tables and arrays in sight; what sqlglot's optimizer leaves open.

That is: columns of DML, fields of structs and of array elements, members of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.adapters.local.duckdb_sql.names import enclosing_sources
from convergence.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convergence.adapters.googlesql.types import Catalog


def fill_column_types(tree: exp.Expr, catalog: Catalog) -> None:
    """Set the type of every column that has none and can be found."""
    tables = {name: dict(_lowered(columns)) for name, columns in catalog.items()}
    for column in tree.find_all(exp.Column):
        if column.type is not None and not column.is_type(exp.DataType.Type.UNKNOWN):
            continue
        names = [part.name.lower() for part in column.parts if isinstance(part, exp.Identifier)]
        if len(names) != len(column.parts):
            continue
        kind = _kind(column, names, tables)
        if kind is not None:
            column.type = exp.DataType.build(str(kind), dialect="bigquery")


def _lowered(columns: Sequence[tuple[str, SqlType]]) -> list[tuple[str, SqlType]]:
    return [(name.lower(), kind) for name, kind in columns]


def _kind(column: exp.Column, names: list[str], tables: dict[tuple[str, str], dict[str, SqlType]]) -> SqlType | None:
    sources = enclosing_sources(column)
    for source in sources:
        known = source.alias_or_name.lower() if not isinstance(source, exp.Unnest) else element_name(source)
        if known == names[0]:
            if isinstance(source, exp.Unnest):
                return _field(_element(source), names[1:])
            if isinstance(source, exp.Table) and len(names) > 1:
                return _field(tables.get((source.db, source.name), {}).get(names[1]), names[2:])
    for source in sources:
        if isinstance(source, exp.Table):
            found = tables.get((source.db, source.name), {}).get(names[0])
            if found is not None:
                return _field(found, names[1:])
        elif isinstance(source, exp.Unnest):
            found = _field(_element(source), names)
            if found is not None:
                return found
    return None


def element_name(unnest: exp.Unnest) -> str:
    """Return the alias of an UNNEST in lower case, '' without one."""
    alias = unnest.args.get("alias")
    return alias.columns[0].name.lower() if alias is not None and alias.columns else ""


def _element(unnest: exp.Unnest) -> SqlType | None:
    array = unnest.expressions[0].type
    if array is None or array.this is not exp.DataType.Type.ARRAY or not array.expressions:
        return None
    try:
        return parse_type(array.expressions[0].sql("bigquery"))
    except InvalidInput:
        return None


def _field(kind: SqlType | None, path: list[str]) -> SqlType | None:
    """Return the type of `kind.a.b`; a member of JSON is JSON."""
    for name in path:
        if kind is None or kind.name == "JSON":
            return kind
        kind = dict(_lowered(kind.fields)).get(name) if kind.name == "STRUCT" else None
    return kind
