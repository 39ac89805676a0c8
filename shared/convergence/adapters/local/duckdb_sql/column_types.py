"""Types of columns from the tables and arrays in scope, where sqlglot's optimizer leaves them open.

That is: columns of DML, fields of structs and of array elements, members of JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.adapters.local.duckdb_sql.names import cte_of, enclosing_sources, sources_of
from convergence.errors import InvalidInput, StepFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convergence.adapters.googlesql.types import Catalog

    Tables = dict[tuple[str, str], dict[str, SqlType]]


def fill_column_types(tree: exp.Expr, catalog: Catalog) -> None:
    """Set the type of every column that has none and can be found."""
    tables = {name: dict(_lowered(columns)) for name, columns in catalog.items()}
    for column in tree.find_all(exp.Column):
        if column.type is not None and not column.is_type(exp.DataType.Type.UNKNOWN):
            continue
        names = _names(column)
        kind = _kind(column, names, tables) if names else None
        if kind is not None:
            column.type = exp.DataType.build(str(kind), dialect="bigquery")


def refuse_float_joins(tree: exp.Expr, catalog: Catalog) -> None:
    """Raise `StepFailed` for JOIN … USING a FLOAT64 or STRUCT: DuckDB would join NaN with NaN, and NULL fields."""
    tables = {name: dict(_lowered(columns)) for name, columns in catalog.items()}
    for join in tree.find_all(exp.Join):
        sources = sources_of(join.parent) if join.args.get("using") and join.parent is not None else []
        for column in join.args.get("using") or []:
            kinds = {kind.name for each in sources if (kind := _column_of(each, column.name.lower(), tables))}
            refused = kinds & {"FLOAT64", "STRUCT"}
            if refused:
                raise StepFailed(
                    f"JOIN … USING ({column.name}), a {min(refused)}, cannot run here; write ON a.{column.name} = …."
                )


def _lowered(columns: Sequence[tuple[str, SqlType]]) -> list[tuple[str, SqlType]]:
    return [(name.lower(), kind) for name, kind in columns]


def _kind(column: exp.Expr, names: list[str], tables: Tables) -> SqlType | None:
    sources = enclosing_sources(column)
    for source in sources:
        known = source.alias_or_name.lower() if not isinstance(source, exp.Unnest) else element_name(source)
        if known == names[0]:
            if isinstance(source, exp.Unnest):
                return _field(_element(source), names[1:])
            if len(names) > 1:
                return _field(_column_of(source, names[1], tables), names[2:])
    for source in sources:
        if isinstance(source, exp.Unnest):
            found = _field(_element(source), names)
        else:
            found = _field(_column_of(source, names[0], tables), names[1:])
        if found is not None:
            return found
    return None


def _column_of(source: exp.Expr, name: str, tables: Tables) -> SqlType | None:
    """Return the type of a table's, a CTE's or a derived table's column."""
    if isinstance(source, exp.Subquery):
        return _output(source.this, name, tables)
    if not isinstance(source, exp.Table):
        return None
    cte = cte_of(source) if not source.db else None
    if cte is not None:
        is_inside = any(ancestor is cte for ancestor in _ancestors(source))  # WITH RECURSIVE
        return None if is_inside else _output(cte.this, name, tables)
    return tables.get((source.db, source.name), {}).get(name)


def _ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    while node.parent is not None:
        node = node.parent
        yield node


def _output(query: exp.Expr, name: str, tables: Tables) -> SqlType | None:
    """Return the type of the column that a query gives under a name."""
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return None
    for projection in query.selects:
        value = projection.this if isinstance(projection, exp.Alias) else projection
        if projection.is_star:
            found = next((kind for each in sources_of(query) if (kind := _column_of(each, name, tables))), None)
            if found is not None:
                return found
        elif projection.alias_or_name.lower() == name:
            return _known(value) or (_kind(value, _names(value), tables) if _names(value) else None)
    return None


def _known(node: exp.Expr) -> SqlType | None:
    if node.type is None or node.is_type(exp.DataType.Type.UNKNOWN):
        return None
    try:
        return parse_type(node.type.sql("bigquery"))
    except InvalidInput:
        return None


def _names(node: exp.Expr) -> list[str]:
    """Return the parts of a column's name in lower case; none when a part is a star."""
    if not isinstance(node, exp.Column):
        return []
    names = [part.name.lower() for part in node.parts if isinstance(part, exp.Identifier)]
    return names if len(names) == len(node.parts) else []


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
