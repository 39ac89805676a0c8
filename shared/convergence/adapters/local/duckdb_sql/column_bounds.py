"""Columns with a length or precision: NUMERIC(10, 2) rounds what is written and refuses more digits, STRING(20) refuses
a longer text, as in BigQuery. DuckDB has no such types: a column's comment keeps its bounds, and what writes checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.rules.base import call, cast, text
from convergence.adapters.local.duckdb_sql.types import WHOLE_HERE, declaration
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.column_bounds import DECIMALS, whole_and_places

if TYPE_CHECKING:
    from convergence.adapters.googlesql.types import Catalog

IS_COPY: Final = "convergence.is_copy"  # of a CREATE … LIKE, CLONE or COPY, which becomes a SELECT *
_DIGITS: Final[Mapping[str, tuple[int, int]]] = {"INT64": (19, 0), **DECIMALS}

_ROUNDING: Final = frozenset({"rounding_mode", "default_rounding_mode"})

Note = tuple[int, str]  # the place of a statement, and the COMMENT that runs after it


_OLDER: Final = (
    " If the table's statement says its length or precision, an earlier release made the table here and did not keep"
    " them: create a table with these types, INSERT the rows, DROP this one, and rename the new one."
)


def refuse_inner_bounds(tree: exp.Expr) -> None:
    """Raise `StepFailed` for bounds that no type has, and for those inside of ARRAY or STRUCT."""
    for data_type in tree.find_all(exp.DataType):
        if not any(isinstance(each, exp.DataTypeParam) for each in data_type.expressions):
            continue
        kind = _bounded(data_type)
        if kind is not None and data_type.find_ancestor(exp.DataType) is not None:
            raise StepFailed(f"{kind.declared} inside of ARRAY or STRUCT cannot be checked here: write {kind}.")


def refuse_rounding_mode(tree: exp.Expr) -> None:
    """Raise `StepFailed` for ROUND_HALF_EVEN, which a column cannot have here."""
    for option in tree.find_all(exp.Property):
        mode = option.args.get("value")
        if option.name.lower() in _ROUNDING and isinstance(mode, exp.Expr) and mode.name.upper() == "ROUND_HALF_EVEN":
            raise StepFailed(f"{option.name} = 'ROUND_HALF_EVEN' cannot be kept here: ROUND what is written.")


def _bounded(data_type: exp.Expr | None) -> SqlType | None:
    """Return a scalar type that has bounds, else None. Raises `StepFailed` for bounds that no type has."""
    if not isinstance(data_type, exp.DataType) or data_type.args.get("nested"):
        return None
    if not any(isinstance(each, exp.DataTypeParam) for each in data_type.expressions):
        return None
    try:
        kind = parse_type(data_type.sql("bigquery"))
    except InvalidInput as error:
        raise StepFailed(str(error)) from error
    return kind if kind.bounds else None


def notes_of(tree: exp.Expr, catalog: Catalog) -> tuple[Note, ...]:
    """Return the comments that keep the bounds of the columns which a statement defines.

    Raises:
        StepFailed: a column would get narrower bounds than it has, which BigQuery refuses too.
    """
    if isinstance(tree, exp.Create) and str(tree.args["kind"]).upper() == "TABLE":
        table = _table_of(tree)
        return tuple((0, _comment(table, name, kind)) for name, kind in _created(tree, catalog))
    if isinstance(tree, exp.Alter):
        return tuple(_altered(tree, catalog))
    return ()


def _created(tree: exp.Create, catalog: Catalog) -> Iterator[tuple[str, SqlType]]:
    if tree.meta.get(IS_COPY):
        copied = next(each for each in tree.find_all(exp.Table) if each is not _table_of(tree))
        yield from ((name, kind) for name, kind in catalog.get((copied.db, copied.name), ()) if kind.bounds)
    for column in tree.this.expressions if isinstance(tree.this, exp.Schema) else []:
        kind = _bounded(column.args.get("kind"))
        if kind is not None:
            yield column.name, kind


def _altered(tree: exp.Alter, catalog: Catalog) -> Iterator[Note]:
    table = _table_of(tree)
    known = catalog.get((table.db, table.name))
    if known is None and tree.args.get("exists"):
        return
    columns = {name.lower(): kind for name, kind in known or ()}
    for place, action in enumerate(tree.args["actions"]):
        if isinstance(action, exp.ColumnDef):
            kind = _bounded(action.args.get("kind"))
            if kind is not None and not (action.args.get("exists") and action.name.lower() in columns):
                yield place, _comment(table, action.name, kind)
        elif isinstance(action, exp.RenameColumn):
            columns[action.args["to"].name.lower()] = columns.pop(action.this.name.lower(), SqlType(""))
        elif isinstance(action, exp.AlterColumn) and action.args.get("dtype") is not None:
            before = columns.get(action.name.lower(), SqlType(""))
            after = _bounded(action.args["dtype"])
            if after is not None:
                _refuse_narrower(action.name, before, after)
                yield place, _comment(table, action.name, after)
            elif before.bounds:
                yield place, _comment(table, action.name, None)


def _refuse_narrower(column: str, before: SqlType, after: SqlType) -> None:
    if after.name in DECIMALS:
        had = whole_and_places(before.bounds) if before.bounds else _DIGITS.get(before.name)
        has = whole_and_places(after.bounds)
        fits = had is not None and had[0] <= has[0] and had[1] <= has[1]
    else:
        fits = before.name == after.name and before.bounds != () and before.bounds <= after.bounds
    if not fits:
        raise StepFailed(
            f"The column {column!r} is {before.declared or 'of another type'} and cannot become {after.declared}:"
            f" a column takes wider types only. Give the new type a new column.{'' if before.bounds else _OLDER}"
        )


def _table_of(tree: exp.Expr) -> exp.Table:
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    assert isinstance(target, exp.Table), "CREATE TABLE and ALTER TABLE name a table"
    return target


def _comment(table: exp.Table, column: str, kind: SqlType | None) -> str:
    path = duckdb_name(table.db or "temp", table.name, column)
    written = "NULL" if kind is None else text(declaration(kind)).sql("duckdb")
    return f"COMMENT ON COLUMN {path} IS {written}"


def apply_bounds(tree: exp.Expr, catalog: Catalog) -> None:
    """Let what an INSERT, UPDATE or MERGE writes, and each DEFAULT, keep within the bounds of its column."""
    for definition in tree.find_all(exp.ColumnDef) if isinstance(tree, exp.Create | exp.Alter) else ():
        kind, default = _bounded(definition.args.get("kind")), definition.find(exp.DefaultColumnConstraint)
        if kind is not None and default is not None:
            default.set("this", _fitted(definition.name, kind, default.this))
    if isinstance(tree, exp.Alter):
        _bound_defaults(tree, catalog)
    if not isinstance(tree, exp.Insert | exp.Update | exp.Merge):
        return
    target = _table_of(tree)
    columns = catalog.get((target.db, target.name), ())
    if any(kind.bounds for _, kind in columns):
        _bound_write(tree, columns)


def _bound_defaults(tree: exp.Alter, catalog: Catalog) -> None:
    """SET DEFAULT, for the columns as they are before the statement."""
    target = _table_of(tree)
    kinds = {name.lower(): kind for name, kind in catalog.get((target.db, target.name), ()) if kind.bounds}
    for action in tree.args["actions"]:
        default = action.args.get("default") if isinstance(action, exp.AlterColumn) else None
        if default is not None and action.name.lower() in kinds:
            action.set("default", _fitted(action.name, kinds[action.name.lower()], default))


def _bound_write(tree: exp.Expr, columns: tuple[tuple[str, SqlType], ...]) -> None:
    bounded = {name.lower(): (name, kind) for name, kind in columns if kind.bounds}
    if isinstance(tree, exp.Merge):
        for when in tree.args["whens"].expressions:
            then = when.args["then"]
            if isinstance(then, exp.Insert) and isinstance(then.this, exp.Star):
                _name_row(then, columns, tree.args["using"].alias_or_name)
            _bound_write(then, columns)
    elif isinstance(tree, exp.Update):
        for change in tree.expressions:
            column = bounded.get(change.this.name.lower()) if isinstance(change, exp.EQ) else None
            if column is not None and not _is_default(change.expression):
                change.set("expression", _fitted(*column, change.expression))
    elif isinstance(tree, exp.Insert):
        listed = tree.this.expressions if isinstance(tree.this, exp.Schema | exp.Tuple) else []
        _bound_rows(tree, [each.name for each in listed] or [name for name, _ in columns], bounded)


def _name_row(then: exp.Insert, columns: tuple[tuple[str, SqlType], ...], source: str) -> None:
    """INSERT ROW, written out: the source has all columns of the table by name."""
    names = [exp.to_identifier(name, quoted=True) for name, _ in columns]
    then.set("this", exp.Tuple(expressions=names))
    values = [exp.column(name, table=source or None, quoted=True) for name, _ in columns]
    then.set("expression", exp.Tuple(expressions=values))


def _bound_rows(tree: exp.Insert, names: list[str], bounded: Mapping[str, tuple[str, SqlType]]) -> None:
    source = tree.args.get("expression")
    rows = source.expressions if isinstance(source, exp.Values) else [source] if isinstance(source, exp.Tuple) else []
    for row in rows:
        for name, value in zip(names, list(row.expressions), strict=False):
            if name.lower() in bounded and not _is_default(value):
                value.replace(_fitted(*bounded[name.lower()], value.copy()))
    if not isinstance(source, exp.Query) or not any(name.lower() in bounded for name in names):
        return
    places = [f"c{place}" for place in range(len(names))]
    changed = [
        exp.alias_(_fitted(*bounded[name.lower()], exp.column(place)), place)
        for name, place in zip(names, places, strict=True)
        if name.lower() in bounded
    ]
    alias = exp.TableAlias(this=exp.to_identifier("given"), columns=[exp.to_identifier(place) for place in places])
    rows_of = exp.Subquery(this=source.copy(), alias=alias)
    tree.set("expression", exp.select(exp.Star(replace=changed)).from_(rows_of))


def _is_default(value: exp.Expr) -> bool:
    """Whether a value is the word DEFAULT, which has been checked when the column was made."""
    word = value.this if isinstance(value, exp.Column) and not value.table else value
    return isinstance(word, exp.Identifier | exp.Var) and word.name.upper() == "DEFAULT" and not word.args.get("quoted")


def _fitted(column: str, kind: SqlType, value: exp.Expr) -> exp.Expr:
    plain, name = cast(value.copy(), kind.name), text(f"{column} {kind.declared}")
    if kind.name not in DECIMALS:
        return call("stored_within", plain, exp.Literal.number(kind.bounds[0]), name, kind=kind.name)
    whole, places = whole_and_places(kind.bounds)
    limit = cast(exp.null() if whole >= WHOLE_HERE[kind.name] else text(str(10**whole)), kind.name)
    return call(f"{kind.name.lower()}_stored", plain, exp.Literal.number(places), limit, name, kind=kind.name)
