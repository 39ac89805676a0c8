"""What a statement touches, and whether its scope allows that. Checked on the tree, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.edits import Edit
from convergence.adapters.googlesql.own_rows import is_central, is_own_log, keep_own_rows, use_own_log, use_written_log
from convergence.adapters.googlesql.pseudo_tables import catalog_view, keep_own_dataset, use_catalog_view
from convergence.errors import Denied, StepFailed, did_you_mean
from convergence.ports.warehouse import SHARED_DATASET, WRITTEN_LOGS, Scope

QUERIES: Final = (exp.Query,)
WRITES: Final = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
BEGINNINGS: Final = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "DROP", "ALTER")
DEFINITIONS: Final = (exp.Create, exp.Drop, exp.Alter)


@dataclass(frozen=True, slots=True)
class Touched:
    """Tables as (dataset, name), the dataset of a temporary table being ''. CTEs are not among them.

    `existing` are those that must be there already: all but what a CREATE or DROP names. `own_rows` are the changes of
    the text that keep the statement to its org's rows of central tables; its tree has them already.
    """

    reads: frozenset[tuple[str, str]]
    writes: frozenset[tuple[str, str]]
    existing: frozenset[tuple[str, str]]
    own_rows: tuple[Edit, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """`dataset.table` of all but temporary tables, sorted."""
        return tuple(sorted(f"{dataset}.{name}" for dataset, name in self.reads | self.writes if dataset))


def check_access(tree: exp.Expr, scope: Scope, *, project: str, temporary: frozenset[str]) -> Touched:
    """Give every table its dataset, drop the project, keep to the org's rows, and return what is touched.

    Raises:
        StepFailed: the statement is of a kind that GoogleSQL scripts here cannot run.
        Denied: it names a dataset, a project or a function outside the scope, or writes without the right to.
    """
    refuse_kind(tree)
    targets = _targets(tree)
    if not isinstance(tree, QUERIES) and not targets:
        raise StepFailed(f"The statement {_kind(tree)} names no table.")
    reads: set[tuple[str, str]] = set()
    writes: set[tuple[str, str]] = set()
    views: set[tuple[str, str]] = set()
    central: set[tuple[str, str]] = set()
    own_rows: list[Edit] = []
    ctes = _cte_references(tree) - {id(target) for target in targets}
    for table in list(tree.find_all(exp.Table)):
        if id(table) in ctes:
            continue
        _refuse_other_source(table)
        view = catalog_view(table)
        if view:
            named = table.copy()
            dataset = _dataset(table, scope, project)
            views.add((dataset, table.name))
            if view == "schemata":
                own_rows.append(keep_own_dataset(named, project, dataset))
            use_catalog_view(table, view, project, dataset)
            continue
        is_temporary = not table.db and (table.name.lower() in temporary or _creates_temporary(tree, table, targets))
        if is_own_log(table, scope):
            _refuse_other_project(table, project)
            own_rows.append(use_own_log(table, scope, project))
        is_target = any(table is target for target in targets)
        if is_central(table, scope):
            _refuse_other_project(table, project)
            if is_target:
                own_rows.append(use_written_log(tree, table, scope, project))
            else:
                central.add((SHARED_DATASET, table.name))
                reads |= {(scope.dataset, WRITTEN_LOGS[table.name])} if table.name in WRITTEN_LOGS else set()
                own_rows.append(keep_own_rows(tree, table, scope, project))
                continue
        dataset = "" if is_temporary else _dataset(table, scope, project)
        if is_target and dataset and isinstance(tree, DEFINITIONS) and table.name.lower() in WRITTEN_LOGS.values():
            raise Denied(f"{dataset}.{table.name} is a table of the log: a run may only change its rows.")
        (writes if is_target else reads).add((dataset, table.name))
    _check_datasets(reads | views, writes, scope)
    reads |= central
    made = isinstance(tree, exp.Create) or bool(tree.args.get("exists"))
    existing = reads if made else reads | writes
    return Touched(frozenset(reads), frozenset(writes), frozenset(existing), tuple(own_rows))


def check_references(tree: exp.Expr, scope: Scope, *, project: str) -> None:
    """Raise `Denied` when a foreign key names a table outside of the scope; what it refers to is not read."""
    for reference in tree.find_all(exp.Reference):
        for table in reference.find_all(exp.Table):
            dataset = _dataset(table, scope, project)
            _check_datasets({(dataset, table.name)}, set(), scope)


def refuse_kind(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a kind of statement that cannot run here, by name."""
    known = isinstance(tree, QUERIES + WRITES + DEFINITIONS)
    if known and isinstance(tree, exp.Create | exp.Drop):
        known = str(tree.args.get("kind", "")).upper() in {"TABLE", "VIEW"}
    if not known:
        if isinstance(tree, exp.Condition | exp.Alias):  # a word that begins no statement is read as a name
            word = tree.sql("bigquery").split(None, 1)[0]
            raise StepFailed(f"{word!r} does not begin a statement.{did_you_mean(word.upper(), BEGINNINGS)}")
        raise StepFailed(f"The statement {_kind(tree)} cannot run here.")
    if not isinstance(tree, QUERIES) and tree.args.get("with_") is not None:
        raise StepFailed(f"WITH cannot come before {_kind(tree)}: put it before the SELECT inside.")


def _refuse_other_source(table: exp.Table) -> None:
    """Only names and functions are sources; functions are checked by name (`functions.refuse_unknown`)."""
    if not isinstance(table.this, exp.Identifier) or table.catalog.count(".") or not table.name:
        raise StepFailed(f"{table.sql('bigquery')[:60]!r} is not a table: write project.dataset.table at most.")


def _check_datasets(reads: set[tuple[str, str]], writes: set[tuple[str, str]], scope: Scope) -> None:
    readable = {scope.dataset, *scope.readable}
    for dataset, name in sorted(reads | writes):
        if dataset and dataset not in readable:
            raise Denied(f"{dataset}.{name} is outside of what this statement may read: {', '.join(sorted(readable))}.")
    for dataset, name in sorted(writes):
        if name.endswith("*"):
            raise StepFailed(f"{dataset}.{name} is a wildcard: its tables can only be read.")
        if dataset and (not scope.writable or dataset != scope.dataset):
            allowed = f"only {scope.dataset} may be written" if scope.writable else "this statement may only read"
            raise Denied(f"{dataset}.{name} cannot be written: {allowed}.")


def _dataset(table: exp.Table, scope: Scope, project: str) -> str:
    """Return the table's dataset; write it into the tree, without the project."""
    _refuse_other_project(table, project)
    if not table.db:
        table.set("db", exp.to_identifier(scope.dataset, quoted=True))
    table.set("catalog", None)
    return table.db


def _refuse_other_project(table: exp.Table, project: str) -> None:
    if table.catalog and table.catalog != project:
        raise Denied(f"{table.catalog}.{table.db}.{table.name} is in a project other than {project!r}.")


def _targets(tree: exp.Expr) -> list[exp.Expr]:
    """Return the tables that the statement writes or defines."""
    if isinstance(tree, exp.TruncateTable):
        return list(tree.expressions)
    if isinstance(tree, exp.Drop):
        return [*(tree.args.get("tables") or []), *([tree.this] if isinstance(tree.this, exp.Table) else [])]
    node = tree.this if isinstance(tree, WRITES + DEFINITIONS) else None
    node = node.this if isinstance(node, exp.Schema) else node
    return [] if node is None else [node]


def _creates_temporary(tree: exp.Expr, table: exp.Table, targets: list[exp.Expr]) -> bool:
    return (
        any(table is target for target in targets)
        and isinstance(tree, exp.Create)
        and tree.find(exp.TemporaryProperty) is not None
    )


def _cte_references(tree: exp.Expr) -> set[int]:
    """Return the ids of table nodes that mean a CTE that is visible at their place."""
    found: set[int] = set()
    for table in tree.find_all(exp.Table):
        if table.db or not isinstance(table.this, exp.Identifier):
            continue
        node: exp.Expr | None = table
        while node is not None:
            with_ = node.args.get("with_")
            if with_ is not None and _visible(with_, table):
                found.add(id(table))
                break
            node = node.parent
    return found


def _visible(with_: exp.Expr, table: exp.Table) -> bool:
    """A CTE sees those before it, and itself only in the recursive term of WITH RECURSIVE.

    The recursive term is the right side of its UNION: anywhere else its name means a table, for DuckDB too.
    """
    ancestors = _ancestors(table)
    for cte in with_.expressions:
        same = cte.alias.lower() == table.name.lower()
        if any(ancestor is cte for ancestor in ancestors):
            union = cte.this
            recursive = bool(with_.args.get("recursive")) and isinstance(union, exp.Union)
            return same and recursive and any(ancestor is union.expression for ancestor in [table, *ancestors])
        if same:
            return True
    return False


def _ancestors(node: exp.Expr) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    parent = node.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found


def _kind(tree: exp.Expr) -> str:
    if isinstance(tree, exp.Command):
        return repr(tree.name.upper())
    return f"{type(tree).__name__.upper()} {tree.args.get('kind') or ''}".rstrip()
