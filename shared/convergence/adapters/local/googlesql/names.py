"""Which names of a statement are columns and which are script variables: a column in sight wins, as in BigQuery."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

Columns = Mapping[tuple[str, str], tuple[str, ...]]  # (dataset, table) → column names, in lower case


class Names:
    """The columns in sight of any node of one statement."""

    def __init__(self, tree: exp.Expr, columns: Columns) -> None:
        self._tree, self._columns = tree, columns
        self._known: dict[int, tuple[set[str], set[str]]] = {}

    def is_column(self, name: str, node: exp.Expr) -> bool:
        """Whether an unqualified name where `node` stands is a column, or the name of a source."""
        name = name.lower()
        in_sight = any(name in columns or name in sources for sources, columns in self._in_sight(node))
        return in_sight or name in _aliases_in_sight(node)

    def is_source(self, name: str, node: exp.Expr) -> bool:
        """Whether `name` is a table or alias in sight of `node`."""
        name = name.lower()
        return any(name in sources for sources, _ in self._in_sight(node))

    def _in_sight(self, node: exp.Expr) -> list[tuple[set[str], set[str]]]:
        """Return (sources, columns) of each enclosing statement, innermost first."""
        found: list[tuple[set[str], set[str]]] = []
        parent: exp.Expr | None = node
        while parent is not None:
            if isinstance(parent, exp.Select | exp.Update | exp.Delete | exp.Merge | exp.Insert):
                found.append(self._of(parent))
            parent = parent.parent
        return found

    def _of(self, statement: exp.Expr) -> tuple[set[str], set[str]]:
        known = self._known.get(id(statement))
        if known is None:
            known = self._known[id(statement)] = (set(), set())  # an endless WITH RECURSIVE ends here
            for source in _sources(statement):
                known[0].add(source.alias_or_name.lower())
                known[1].update(self._columns_of(source))
        return known

    def _columns_of(self, source: exp.Expr) -> set[str]:
        if isinstance(source, exp.Subquery):
            return self.outputs(source.this)
        if isinstance(source, exp.Unnest):
            offset = source.args.get("offset")
            names = {column.name.lower() for column in (source.args.get("alias") or exp.TableAlias()).columns}
            return names | (
                {offset.name.lower()} if isinstance(offset, exp.Identifier) else {"offset"} if offset else set()
            )
        if isinstance(source, exp.Table) and not source.db:
            cte = _cte(source)
            if cte is not None:
                return self.outputs(cte.this)
        if isinstance(source, exp.Table):
            return set(self._columns.get((source.db, source.name), ()))
        return set()

    def outputs(self, query: exp.Expr) -> set[str]:
        """Return the column names a query puts out, stars followed."""
        if isinstance(query, exp.SetOperation):
            return self.outputs(query.this)
        if isinstance(query, exp.Subquery):
            return self.outputs(query.this)
        if not isinstance(query, exp.Select):
            return set()
        names: set[str] = set()
        for projection in query.selects:
            if projection.is_star:
                names |= self._of(query)[1]
            elif projection.alias_or_name:
                names.add(projection.alias_or_name.lower())
        return names


def enclosing_sources(node: exp.Expr) -> list[exp.Expr]:
    """Return the sources in sight of a node, those of the innermost statement first."""
    found: list[exp.Expr] = []
    parent: exp.Expr | None = node
    while parent is not None:
        if isinstance(parent, exp.Select | exp.Update | exp.Delete | exp.Merge):
            found += _sources(parent)
        parent = parent.parent
    return found


def _sources(statement: exp.Expr) -> list[exp.Expr]:
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
    child, parent = node, node.parent
    while parent is not None:
        if isinstance(parent, exp.Select):
            seen = isinstance(child, exp.Group | exp.Having | exp.Qualify | exp.Order)
            return {each.alias.lower() for each in parent.selects if each.alias} if seen else set()
        child, parent = parent, parent.parent
    return set()


def _cte(table: exp.Table) -> exp.Expr | None:
    node: exp.Expr | None = table
    while node is not None:
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ is not None else []:
            if cte.alias.lower() == table.name.lower():
                return cte  # type: ignore[no-any-return]  # expressions are untyped in sqlglot
        node = node.parent
    return None
