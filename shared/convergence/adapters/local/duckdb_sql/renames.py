"""`RENAME COLUMN IF EXISTS`, which DuckDB does not have: decided by the columns that the table has."""

from __future__ import annotations

from sqlglot import exp

from convergence.adapters.googlesql.types import Catalog


def apply_renames(tree: exp.Expr, catalog: Catalog) -> None:
    """Leave out renames of columns that are not there; the clauses of an ALTER are taken in their order."""
    if not isinstance(tree, exp.Alter):
        return
    names = {name.lower() for columns in catalog.values() for name, _ in columns}
    kept = []
    for action in tree.args["actions"]:
        if isinstance(action, exp.RenameColumn):
            if action.args.get("exists") and action.this.name.lower() not in names:
                continue
            action.set("exists", False)
            names.discard(action.this.name.lower())
            names.add(action.args["to"].name.lower())
        elif isinstance(action, exp.ColumnDef):
            names.add(action.name.lower())
        elif isinstance(action, exp.Drop):
            names -= {each.name.lower() for each in action.find_all(exp.Identifier)}
        kept.append(action)
    tree.set("actions", kept)
