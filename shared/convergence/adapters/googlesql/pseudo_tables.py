"""Sources that are not tables: INFORMATION_SCHEMA, `__TABLES__` and wildcards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

from convergence.adapters.googlesql.edits import Edit
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed, did_you_mean

if TYPE_CHECKING:
    from convergence.adapters.googlesql.types import Catalog

_VIEWS: Final = {"TABLES": "tables", "COLUMNS": "columns", "ROUTINES": "routines", "SCHEMATA": "schemata"}
_PREFIX: Final = "INFORMATION_SCHEMA."


def catalog_view(table: exp.Table) -> str:
    """Return the macro for `dataset.INFORMATION_SCHEMA.X` or `dataset.__TABLES__`, '' for other tables.

    Raises:
        StepFailed: a view that does not exist here, with the nearest.
    """
    name = table.name
    if name == "__TABLES__":
        return "table_list"
    if not name.upper().startswith(_PREFIX):
        return ""
    view = name[len(_PREFIX) :].upper()
    if view not in _VIEWS:
        raise StepFailed(f"{_PREFIX}{view} does not exist here.{did_you_mean(view, _VIEWS)}")
    return _VIEWS[view]


def keep_own_dataset(table: exp.Table, project: str, dataset: str) -> Edit:
    """Return the change of the text that lets SCHEMATA, which lists all datasets of a project, list this one only.

    Other datasets are other orgs', and their names are those of customers.
    """
    places = [part.meta for part in table.parts]
    start, end = places[0]["start"], max(place["end"] for place in places if place.get("end") is not None)
    source, name = bigquery_name(project), exp.Literal.string(dataset).sql("bigquery")
    rows = f"(SELECT * FROM {source}.INFORMATION_SCHEMA.SCHEMATA WHERE schema_name = {name})"  # noqa: S608 - quoted
    alias = table.args.get("alias")
    is_named = alias is not None and alias.this.meta["start"] > end  # otherwise it is a part of the path
    return Edit(start, end + 1, rows if is_named else f"{rows} AS SCHEMATA")


def use_catalog_view(table: exp.Table, macro: str, project: str, dataset: str) -> None:
    """Let the node call a table macro instead of naming a table."""
    arguments = [exp.Literal.string(project), exp.Literal.string(dataset)]
    if not table.alias or table.alias.upper().startswith(_PREFIX) or "." in table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name.rpartition(".")[2], quoted=True)))
    table.set("this", exp.Anonymous(this=f"googlesql.{macro}", expressions=arguments))
    table.set("db", None)
    table.set("catalog", None)


def expand_wildcards(tree: exp.Expr, catalog: Catalog) -> None:
    """`dataset.prefix*` is the union of all tables that begin so, with _TABLE_SUFFIX."""
    for table in list(tree.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or not table.name.endswith("*"):
            continue
        prefix = table.name[:-1]
        parts = [
            exp.select("*", exp.alias_(exp.Literal.string(name[len(prefix) :]), "_TABLE_SUFFIX")).from_(
                exp.table_(name, db=dataset, quoted=True)
            )
            for dataset, name in sorted(catalog)
            if dataset == table.db and name.startswith(prefix)
        ]
        union: exp.Query = parts[0]
        for part in parts[1:]:
            union = exp.Union(this=union, expression=part, distinct=False, by_name=True)
        alias = table.alias or "_wildcard"
        _hide_suffix(table, alias)
        table.replace(exp.Subquery(this=union, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))


def _hide_suffix(table: exp.Expr, alias: str) -> None:
    """_TABLE_SUFFIX is available by name, but a star does not include it."""
    select = table.find_ancestor(exp.Select)
    for projection in select.expressions if select is not None else []:
        star = projection.this if isinstance(projection, exp.Column) else projection
        if isinstance(star, exp.Star) and (star is projection or projection.table == alias):
            hidden = exp.to_identifier("_TABLE_SUFFIX", quoted=True)
            star.set("except_", [*(star.args.get("except_") or []), hidden])
