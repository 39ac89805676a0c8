"""`UPDATE t SET s.a = 9`: the struct is rewritten with one field changed."""

from __future__ import annotations

from sqlglot import exp

from convergence.adapters.googlesql.types import Catalog, SqlType
from convergence.errors import StepFailed, did_you_mean

Changes = dict[str, "exp.Expr | Changes"]  # field in lower case → its new value, or changes of its own fields


def assign_fields(tree: exp.Expr, catalog: Catalog) -> None:
    """Replace assignments to fields by one assignment to each of their columns.

    Raises:
        StepFailed: a field that the struct does not have, or one that is assigned twice.
    """
    target = tree.this
    if not isinstance(tree, exp.Update | exp.Merge) or not isinstance(target, exp.Table):
        return
    columns = {name.lower(): (name, kind) for name, kind in catalog.get((target.db, target.name), ())}
    for update in tree.find_all(exp.Update):
        _assign(update, {target.alias_or_name.lower(), target.name.lower()}, columns)


def _assign(update: exp.Expr, targets: set[str], columns: dict[str, tuple[str, SqlType]]) -> None:
    changed: dict[str, Changes] = {}
    for assignment in list(update.expressions):
        if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column | exp.Dot):
            raise StepFailed(f"SET takes column = value, found {assignment.sql('bigquery')}.")
        path = [part.name for part in _parts(assignment.this)]
        if len(path) > 1 and path[0].lower() in targets and path[1].lower() in columns:
            path = path[1:]
        if len(path) == 1 or path[0].lower() not in columns:
            continue
        _put(changed.setdefault(path[0].lower(), {}), path[1:], assignment.expression)
        assignment.pop()
    for root, changes in changed.items():
        name, kind = columns[root]
        value = _changed(exp.column(exp.to_identifier(name, quoted=True)), kind, changes, name)
        update.append("expressions", exp.EQ(this=exp.column(exp.to_identifier(name, quoted=True)), expression=value))


def _parts(target: exp.Expr) -> list[exp.Expr]:
    if isinstance(target, exp.Dot):
        return [*_parts(target.this), target.expression]
    return list(target.parts) if isinstance(target, exp.Column) else [target]


def _put(changes: Changes, path: list[str], value: exp.Expr) -> None:
    field = path[0].lower()
    inner = changes.setdefault(field, {} if len(path) > 1 else value)
    if len(path) > 1 and isinstance(inner, dict):
        _put(inner, path[1:], value)
    elif inner is not value:
        raise StepFailed(f"The field {path[0]!r} is assigned twice.")


def _changed(value: exp.Expr, kind: SqlType, changes: Changes, name: str) -> exp.Expr:
    """Return the struct with its changes; a NULL struct has no field that could be set."""
    if kind.name != "STRUCT":
        raise StepFailed(f"{name!r} is {kind} and has no fields that could be set.")
    known = {field.lower() for field, _ in kind.fields}
    unknown = next((field for field in changes if field not in known), None)
    if unknown is not None:
        raise StepFailed(f"{name!r} has no field {unknown!r}.{did_you_mean(unknown, known)}")
    fields: list[exp.Expr] = []
    for field, inner in kind.fields:
        old: exp.Expr = exp.Dot(this=value.copy(), expression=exp.to_identifier(field, quoted=True))
        change = changes.get(field.lower())
        new = old if change is None else _changed(old, inner, change, field) if isinstance(change, dict) else change
        fields.append(exp.PropertyEQ(this=exp.to_identifier(field, quoted=True), expression=new.copy()))
    failed = exp.Anonymous(this="ERROR", expressions=[exp.Literal.string(f"{name} is NULL: it has no field to set")])
    is_null = exp.Is(this=value.copy(), expression=exp.Null())
    return exp.Case(ifs=[exp.If(this=is_null, true=failed)], default=exp.Struct(expressions=fields))
