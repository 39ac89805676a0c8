"""Central tables hold rows of all orgs: a run reads those of its own org only, whatever the author's WHERE is.

A table that is read becomes a subquery that keeps the org's rows: in the tree, which the embedded warehouse runs, and
as an edit of the text, which BigQuery is sent. Where a table cannot become a subquery it cannot be read.

Logs that each org has in its own dataset (`OWN_LOGS`) are meant when a run names them in the shared one. Logs that the
engine writes there (`WRITTEN_LOGS`) may get rows of runs too: as the target of DML their name means a table of the
org's own dataset, whose rows a read of the log adds. So no statement can change what the engine wrote.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.edits import Edit
from convergence.domain.sql_names import bigquery_name
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import CENTRAL_TABLES, OWN_LOGS, SHARED_DATASET, WRITTEN_LOGS, Scope

OWNER: Final = "x_org_slug"
_REASONS: Final = {
    "org_audit_logs": "an audit log that the audited could change would prove nothing. Keep your own notes in"
    " org_meta_step_logs."
}
_MIRROR: Final = "it mirrors documents, and its next refresh would undo the change. Use the API."
# What a table may consist of: a name and an alias, and inside of parentheses what is joined to it.
_PLAIN: Final = frozenset({"this", "db", "catalog", "alias", "joins"})


def is_central(table: exp.Table, scope: Scope) -> bool:
    """Return whether a table is one of all orgs, and the scope is that of a run, which reads its own rows."""
    return table.name in CENTRAL_TABLES and _is_of_run(table, scope)


def is_own_log(table: exp.Table, scope: Scope) -> bool:
    """Return whether a run names a log of its own dataset as one of the shared dataset."""
    return table.name in OWN_LOGS and _is_of_run(table, scope)


def _is_of_run(table: exp.Table, scope: Scope) -> bool:
    shared = table.db == SHARED_DATASET and SHARED_DATASET not in {scope.dataset, *scope.readable}
    return shared and scope.lineage is not None


def refuse_reshaped(tree: exp.Expr, scope: Scope) -> None:
    """Raise `StepFailed` for a central table with PIVOT, CLONE, …, before the embedded warehouse writes these anew."""
    for table in tree.find_all(exp.Table):
        if not is_central(table, scope):
            continue
        if isinstance(table.parent, exp.Clone):
            raise Denied(_not_a_source(table))
        if any(value for key, value in table.args.items() if key not in _PLAIN):
            raise StepFailed(_not_plain(table))


def use_own_log(table: exp.Table, scope: Scope, project: str) -> Edit:
    """Let a statement mean the log in the org's own dataset; return the same change of the statement's text."""
    edit = _replaced(table, bigquery_name(project, scope.dataset, table.name))
    table.set("db", _quoted(scope.dataset))
    table.set("catalog", None)
    return edit


def use_written_log(tree: exp.Expr, table: exp.Table, scope: Scope, project: str) -> Edit:
    """Let DML change the org's own rows of a log; return the same change of the statement's text.

    Raises:
        Denied: the table is another central one, or the statement is not INSERT, UPDATE, DELETE or MERGE.
    """
    path = f"{SHARED_DATASET}.{table.name}"
    if table.name not in WRITTEN_LOGS:
        raise Denied(f"{path} cannot be written by a run: {_REASONS.get(table.name, _MIRROR)}")
    if not isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        raise Denied(f"{path} is a log: a run can only INSERT, UPDATE, DELETE and MERGE rows of its own there.")
    name, written = table.name, WRITTEN_LOGS[table.name]
    text = bigquery_name(project, scope.dataset, written)
    is_bare = not table.alias and not isinstance(tree, exp.Insert)  # its columns are qualified with the replaced name
    edit = _replaced(table, f"{text} AS {bigquery_name(name)}" if is_bare else text)
    table.set("this", _quoted(written))
    table.set("db", _quoted(scope.dataset))
    table.set("catalog", None)
    if is_bare:
        table.set("alias", exp.TableAlias(this=_quoted(name)))
    return edit


def keep_own_rows(tree: exp.Expr, table: exp.Table, scope: Scope, project: str) -> Edit:
    """Let a statement's table be a subquery of the org's rows; return the same change of the statement's text.

    Raises:
        StepFailed: the table has more than an alias, so that a subquery cannot replace it.
        Denied: it appears elsewhere than in FROM, JOIN or USING, or in a view, which would outlive the check.
    """
    assert scope.lineage is not None, "the scope is that of a run"
    if not _is_source(table) or (isinstance(tree, exp.Create) and str(tree.args.get("kind", "")).upper() != "TABLE"):
        raise Denied(_not_a_source(table))
    alias = table.args.get("alias")
    if {key for key, value in table.args.items() if value} - _PLAIN or (alias is not None and alias.columns):
        raise StepFailed(_not_plain(table))
    joins = table.args.get("joins")
    org, name = scope.lineage.org_slug, alias.name if alias is not None else table.name
    edit = _edit(table, scope, org, project, named=alias is not None)
    owner = exp.EQ(this=exp.Column(this=_quoted(OWNER)), expression=exp.Literal.string(org))
    rows: exp.Query = _all_of(_table(SHARED_DATASET, table.name)).where(owner, copy=False)
    if table.name in WRITTEN_LOGS:
        written = _all_of(_table(scope.dataset, WRITTEN_LOGS[table.name]))
        rows = exp.Union(this=_all_of(exp.Subquery(this=rows)), expression=written, distinct=False, by_name=True)
    table.replace(exp.Subquery(this=rows, alias=exp.TableAlias(this=_quoted(name)), joins=joins))
    return edit


def _not_a_source(table: exp.Table) -> str:
    return f"{SHARED_DATASET}.{table.name} can only be read in FROM, JOIN or USING of a statement, not of a view."


def _not_plain(table: exp.Table) -> str:
    return f"{SHARED_DATASET}.{table.name} can only have an alias here: use a subquery of it instead."


def _all_of(source: exp.Expr) -> exp.Select:
    return exp.Select(expressions=[exp.Star()]).from_(source, copy=False)


def _table(dataset: str, name: str) -> exp.Table:
    return exp.Table(this=_quoted(name), db=_quoted(dataset))


def _is_source(table: exp.Table) -> bool:
    if isinstance(table.parent, exp.Merge):
        return table.arg_key == "using"
    return isinstance(table.parent, exp.From | exp.Join | exp.Subquery) and table.arg_key == "this"


def _edit(table: exp.Table, scope: Scope, org: str, project: str, *, named: bool) -> Edit:
    source, owner = bigquery_name(project, SHARED_DATASET, table.name), exp.Literal.string(org).sql("bigquery")
    rows = f"(SELECT * FROM {source} WHERE {OWNER} = {owner})"  # noqa: S608 - quoted
    if table.name in WRITTEN_LOGS:
        written = bigquery_name(project, scope.dataset, WRITTEN_LOGS[table.name])
        rows = f"(SELECT * FROM {rows} UNION ALL BY NAME SELECT * FROM {written})"  # noqa: S608 - quoted
    return _replaced(table, rows if named else f"{rows} AS {bigquery_name(table.name)}")


def _replaced(table: exp.Table, text: str) -> Edit:
    return Edit(table.parts[0].meta["start"], table.parts[-1].meta["end"] + 1, text)


def _quoted(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
