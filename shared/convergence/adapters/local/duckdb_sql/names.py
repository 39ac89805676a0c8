"""Which names of a statement are columns and which are script variables: a column in scope wins, as in BigQuery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

Columns = Mapping[tuple[str, str], tuple[str, ...]]  # (dataset, table) → column names, in lower case


@dataclass(slots=True)
class Seen:
    """What one statement's FROM brings into scope. `complete` says that no source may have further columns."""

    sources: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    complete: bool = True

    def has(self, name: str) -> bool:
        """Whether a name in lower case is a column or a source."""
        return name in self.columns or name in self.sources


class Names:
    """The columns in scope of any node of one statement."""

    def __init__(self, tree: exp.Expr, columns: Columns) -> None:
        self._tree, self._columns = tree, columns
        self._known: dict[int, Seen] = {}

    def is_column(self, name: str, node: exp.Expr) -> bool:
        """Whether an unqualified name at the place of `node` is a column, or the name of a source."""
        name = name.lower()
        in_sight = any(seen.has(name) for seen in self._in_sight(node))
        return in_sight or name in _aliases_in_sight(node)

    def is_source(self, name: str, node: exp.Expr) -> bool:
        """Whether `name` is a table or alias in scope of `node`."""
        name = name.lower()
        return any(name in seen.sources for seen in self._in_sight(node))

    def _in_sight(self, node: exp.Expr) -> list[Seen]:
        """Return what each enclosing statement has in scope, innermost first."""
        return [self.seen_by(statement) for statement, _ in enclosing(node)]

    def seen_by(self, statement: exp.Expr) -> Seen:
        """Return what the sources of one statement bring into scope."""
        known = self._known.get(id(statement))
        if known is None:
            known = self._known[id(statement)] = Seen()  # an endless WITH RECURSIVE ends here
            for source in sources_of(statement):
                known.sources.add(source.alias_or_name.lower())
                columns, complete = self._columns_of(source)
                known.columns |= columns
                known.complete &= complete
        return known

    def source_of(self, statement: exp.Expr, name: str) -> str:
        """Return the name of the source that has a column, '' when no source is known to."""
        found = (source for source in sources_of(statement) if name in self._columns_of(source)[0])
        return next((source.alias_or_name for source in found), "")

    def _columns_of(self, source: exp.Expr) -> tuple[set[str], bool]:
        """Return the names of a source's columns, and whether these are all."""
        alias = source.args.get("alias")
        if isinstance(source, exp.Unnest):
            return _unnested(source)
        if isinstance(alias, exp.TableAlias) and alias.columns:
            return {column.name.lower() for column in alias.columns}, True
        if isinstance(source, exp.Subquery):
            return self.outputs(source.this)
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
            return set(), False
        cte = cte_of(source) if not source.db else None
        if cte is not None:
            names = {name.name.lower() for name in cte.args["alias"].columns}
            return (names, True) if names else self.outputs(cte.this)
        columns = self._columns.get((source.db, source.name))
        return set(columns or ()), columns is not None

    def outputs(self, query: exp.Expr) -> tuple[set[str], bool]:
        """Return the column names of a query's result, stars expanded, and whether these are all."""
        while isinstance(query, exp.SetOperation | exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select):
            return set(), False
        names: set[str] = set()
        complete = not query.args.get("kind")
        for projection in query.selects:
            if projection.is_star:
                seen = self.seen_by(query)
                names |= seen.columns
                complete &= seen.complete and not isinstance(projection, exp.Dot)
            else:
                names.add(projection.alias_or_name.lower())
        return names - {""}, complete


def enclosing(node: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """Yield each statement whose sources `node` can see, innermost first, with the clause that contains `node`.

    A derived table and a CTE see nothing of the statement that reads them.
    """
    child, parent, hidden = node, node.parent, False
    while parent is not None:
        if isinstance(parent, _STATEMENTS):
            if not hidden:
                yield parent, child
            hidden = False
        elif isinstance(parent, exp.SetOperation) and child.arg_key == "with_":
            hidden = False
        hidden |= isinstance(parent, exp.CTE)
        hidden |= isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join)
        child, parent = parent, parent.parent


_STATEMENTS = (exp.Select, exp.Update, exp.Delete, exp.Merge, exp.Insert)


def _unnested(unnest: exp.Unnest) -> tuple[set[str], bool]:
    """Return the element's name and that of WITH OFFSET; fields of elements have names of their own."""
    alias, offset = unnest.args.get("alias"), unnest.args.get("offset")
    names = {column.name.lower() for column in alias.columns} if alias is not None else set()
    if offset:
        names.add(offset.name.lower() if isinstance(offset, exp.Identifier) else "offset")
    array = unnest.expressions[0].type
    element = array.expressions[0] if array is not None and array.expressions else None
    is_scalar = isinstance(element, exp.DataType) and element.this not in _WITH_FIELDS
    return names, is_scalar and alias is not None


_WITH_FIELDS = frozenset({exp.DataType.Type.STRUCT, exp.DataType.Type.UNKNOWN})


def enclosing_sources(node: exp.Expr) -> list[exp.Expr]:
    """Return the sources in scope of a node, those of the innermost statement first."""
    return [source for statement, _ in enclosing(node) for source in sources_of(statement)]


def sources_of(statement: exp.Expr) -> list[exp.Expr]:
    """Return the tables, subqueries and arrays that a statement reads."""
    found: list[exp.Expr] = []
    if isinstance(statement, exp.Select):
        from_ = statement.args.get("from_")
        found = [from_.this] if from_ is not None else []
        found += [join.this for join in statement.args.get("joins") or []]
    elif isinstance(statement, exp.Update) and statement.this is not None:  # MERGE's UPDATE names no table
        from_ = statement.args.get("from_")
        found = [statement.this, *([from_.this] if from_ is not None else [])]
    elif isinstance(statement, exp.Delete):
        found = [statement.this]
    elif isinstance(statement, exp.Merge):
        found = [statement.this, statement.args["using"]]
    nested = [join.this for source in found for join in source.args.get("joins") or []]
    return [source for source in [*found, *nested] if isinstance(source, exp.Expr)]


def _aliases_in_sight(node: exp.Expr) -> set[str]:
    """GROUP BY, HAVING, QUALIFY and ORDER BY see the aliases of their own select list; nothing else does."""
    for statement, clause in enclosing(node):
        if isinstance(statement, exp.Select):
            seen = isinstance(clause, exp.Group | exp.Having | exp.Qualify | exp.Order)
            return {each.alias.lower() for each in statement.selects if each.alias} if seen else set()
    return set()


def cte_of(table: exp.Table) -> exp.Expr | None:
    """Return the CTE that an unqualified table name means, None when it is a table."""
    node: exp.Expr | None = table
    while node is not None:
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ is not None else []:
            if cte.alias.lower() == table.name.lower():
                return cte  # type: ignore[no-any-return]  # expressions are untyped in sqlglot
        node = node.parent
    return None
