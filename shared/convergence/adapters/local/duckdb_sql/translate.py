"""Translates a GoogleSQL statement into a DuckDB statement, with what it touches.

The steps, in order: parse, check the scope, replace parameters and variables by typed placeholders, infer types,
apply the rules where GoogleSQL and DuckDB differ, write.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from convergence.adapters.googlesql.access import QUERIES, Touched, check_access, check_references
from convergence.adapters.googlesql.functions import refuse_unknown
from convergence.adapters.googlesql.own_rows import refuse_reshaped
from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.googlesql.pseudo_tables import expand_wildcards
from convergence.adapters.googlesql.refusal import refusing
from convergence.adapters.googlesql.types import Catalog
from convergence.adapters.local.duckdb_sql.aliases import keep_aliases_out, resolve_aliases
from convergence.adapters.local.duckdb_sql.assignments import check_assignments
from convergence.adapters.local.duckdb_sql.column_bounds import (
    Note,
    apply_bounds,
    notes_of,
    refuse_inner_bounds,
    refuse_rounding_mode,
)
from convergence.adapters.local.duckdb_sql.column_types import refuse_float_joins
from convergence.adapters.local.duckdb_sql.context import StatementContext
from convergence.adapters.local.duckdb_sql.dialect import to_duckdb
from convergence.adapters.local.duckdb_sql.infer import infer_types
from convergence.adapters.local.duckdb_sql.placeholders import Placeholders
from convergence.adapters.local.duckdb_sql.renames import apply_renames
from convergence.adapters.local.duckdb_sql.rules.arrays import UNNAMED
from convergence.adapters.local.duckdb_sql.rules.base import kind_of
from convergence.adapters.local.duckdb_sql.rules.casts import as_text
from convergence.adapters.local.duckdb_sql.rules.structs import branches_of
from convergence.adapters.local.duckdb_sql.rules.table import apply_rules
from convergence.adapters.local.duckdb_sql.shape import shape
from convergence.adapters.local.duckdb_sql.struct_fields import assign_fields
from convergence.adapters.local.warehouse.fence import Fence


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement whose tables are known and allowed."""

    tree: exp.Expr
    touched: Touched


@dataclass(frozen=True, slots=True)
class Translation:
    """A statement ready to run. `parameters` are the placeholders it uses: `p_name`, `v_name`, `q_1`, `s_row_count`.

    `temporary` is the temporary table it creates, if it does. `defines` says that tables may look different after.
    """

    statements: tuple[str, ...]  # one; for an ALTER one for each of its actions
    touched: Touched
    is_query: bool
    parameters: frozenset[str]
    temporary: str = ""
    creates: tuple[str, str] | None = None  # the table that the statement makes
    defines: bool = False
    from_query: bool = False  # … out of a query
    removes: bool = False  # DELETE or TRUNCATE
    drops: bool = False  # DROP TABLE
    merges: bool = False  # MERGE: answers INSERT, UPDATE or DELETE for each row
    notes: tuple[Note, ...] = ()  # comments of columns with bounds
    unless_exists: bool = False  # CREATE TABLE IF NOT EXISTS
    columns: frozenset[str] = frozenset()  # all columns in scope, for messages
    fence: Fence = field(kw_only=True)

    @property
    def sql(self) -> str:
        """The text, if there is one statement: for all but an ALTER."""
        [sql] = self.statements
        return sql


@refusing
def parse(sql: str, context: StatementContext) -> Parsed:
    """Parse one statement and check what it touches.

    Raises:
        StepFailed: it does not parse, is more than one statement, or of a kind that cannot run here.
        Denied: it reaches outside of its scope.
    """
    raw = parse_statement(sql)
    refuse_reshaped(raw, context.scope)
    check_references(raw, context.scope, project=context.project)
    refuse_inner_bounds(raw)
    refuse_rounding_mode(raw)
    tree = shape(raw)
    refuse_unknown(tree)
    touched = check_access(tree, context.scope, project=context.project, temporary=context.temporary)
    return Parsed(tree, touched)


@refusing
def translate(parsed: Parsed, context: StatementContext, catalog: Catalog) -> Translation:
    """Translate a parsed statement, whose tables have the columns in `catalog`.

    Raises:
        StepFailed: a construct that cannot run here, by name.
        InvalidInput: a query parameter has no value.
    """
    tree = parsed.tree.copy()
    _name_all_columns(tree)
    apply_renames(tree, catalog)
    expand_wildcards(tree, catalog)
    used = Placeholders(context).replace_in(tree, catalog)
    resolve_aliases(tree, catalog)
    assign_fields(tree, catalog)
    infer_types(tree, catalog, context.scope.dataset)
    refuse_float_joins(tree, catalog)
    keep_aliases_out(tree, catalog)
    check_assignments(tree, catalog)
    notes = notes_of(tree, catalog)
    tree = apply_rules(tree)
    _show_intervals(tree)
    _keep_arrays_whole(tree)
    apply_bounds(tree, catalog)
    creates = isinstance(tree, exp.Create) and str(tree.args["kind"]).upper() == "TABLE"
    [created] = parsed.touched.writes if creates else [("", "")]
    return Translation(
        statements=to_duckdb(tree),
        touched=parsed.touched,
        is_query=isinstance(tree, QUERIES),
        parameters=frozenset(used),
        temporary=created[1].lower() if creates and not created[0] else "",
        creates=created if creates else None,
        defines=isinstance(tree, exp.Create | exp.Drop | exp.Alter),
        removes=isinstance(tree, exp.Delete | exp.TruncateTable),
        drops=isinstance(tree, exp.Drop) and str(tree.args["kind"]).upper() == "TABLE",
        merges=isinstance(tree, exp.Merge),
        from_query=creates and isinstance(tree.args.get("expression"), exp.Query),
        notes=notes,
        unless_exists=creates and bool(tree.args.get("exists")),
        columns=frozenset(name for columns in catalog.values() for name, _ in columns),
        fence=_fence(context),
    )


def _fence(context: StatementContext) -> Fence:
    scope, lineage = context.scope, context.scope.lineage
    org = lineage.org_slug if lineage is not None else None
    return Fence(scope.dataset, scope.readable, scope.writable, context.temporary, org)


def _name_all_columns(tree: exp.Expr) -> None:
    """Name the columns of the answer, and those of CTEs and derived tables, which `SELECT *` passes on."""
    _name_columns(tree)
    for inner in tree.find_all(exp.CTE, exp.Subquery):
        if isinstance(inner, exp.CTE) or isinstance(inner.parent, exp.From | exp.Join):
            _name_columns(inner.this)
    for number, unnest in enumerate(each for each in tree.find_all(exp.Unnest) if not each.alias_column_names):
        unnest.meta[UNNAMED] = f"f{number}_"


def _name_columns(tree: exp.Expr) -> None:
    """Columns without a name are f0_, f1_, … in the answer, as in BigQuery."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    if not isinstance(tree, exp.Select):
        return
    unnamed = 0
    for projection in tree.selects:
        if projection.alias_or_name == "" or not isinstance(projection, exp.Alias | exp.Column | exp.Dot | exp.Star):
            projection.replace(exp.alias_(projection.copy(), f"f{unnamed}_", quoted=True))
            unnamed += 1
        elif isinstance(projection, exp.Dot) and not isinstance(projection.expression, exp.Star):
            projection.replace(exp.alias_(projection.copy(), projection.name, quoted=True))  # @p.a is called a


def _show_intervals(tree: exp.Expr) -> None:
    """An INTERVAL of a result is the text that BigQuery returns: years-months days hours:minutes:seconds."""
    for projection in tree.expressions if isinstance(tree, exp.Select) else []:
        value = projection.unalias()
        if kind_of(value) == "INTERVAL":
            value.replace(as_text(value.copy()))


def _keep_arrays_whole(tree: exp.Expr) -> None:
    """A table holds no NULL array, which is stored as an empty one, and no array with NULL."""
    query = tree.args.get("expression") if isinstance(tree, exp.Create | exp.Insert) else None
    if not isinstance(query, exp.Query | exp.Values) or str(tree.args.get("kind")).upper() == "VIEW":
        return
    rows = [query] if isinstance(query, exp.Values) else branches_of(query)
    values = [each for row in rows for each in (row.expressions if isinstance(row, exp.Select) else _cells(row))]
    for value in (each.unalias() for each in values):
        if kind_of(value) == "ARRAY":
            value.replace(exp.Anonymous(this="googlesql.stored_array", expressions=[value.copy()]))


def _cells(values: exp.Expr) -> list[exp.Expr]:
    return [cell for row in values.expressions for cell in row.expressions]


@refusing
def row_query(sql: str) -> str:
    """Return a query whose columns are the fields of a row: `(a, b)`, `STRUCT(a, b)` or `(SELECT AS STRUCT a, b …)`."""
    tree = parse_statement(f"SELECT {sql}")
    row = tree.expressions[0]
    if isinstance(row, exp.Subquery) and isinstance(row.this, exp.Select):
        row.this.set("kind", None)
        return row.this.sql("bigquery")
    fields = row.expressions if isinstance(row, exp.Tuple | exp.Struct) else [row]
    return "SELECT " + ", ".join(field.sql("bigquery") for field in fields)
