"""A step's statement as any org would run it: with the names of its tables, and the types of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from convergence.config.model.pipeline import BLOCKS, Step
from convergence.config.sql.statement import Identifier
from convergence.config.sql.templates import parse_sql
from convergence.config.sql.values import type_of
from convergence.config.templates.compiled import own_parameters
from convergence.ports.sql_reader import DATASET

_PROJECTS: Final = frozenset({"project_id", "gcp_project_id", "project"})
_DATASETS: Final = frozenset({"org_dataset", "dataset"})
_ANY_TABLE: Final = "t"  # placeholder for a name known only to the run: any name gives the same result


class Typed(NamedTuple):
    """`types` are those of its parameters; None where a name or a type is known to the run only."""

    sql: str
    types: Mapping[str, str] | None


def typed(text: str, step: Step, types: Mapping[str, str], project: str) -> Typed:
    """Return a statement of a step; `types` are those of the pipeline's names, `project` stands for the run's."""
    blocks = {name: getattr(step, name) for name in BLOCKS}
    own = _own_types(step.config or {})
    statement = parse_sql(text, given=own_parameters(blocks), types=types)
    names = [_name(part, project) if isinstance(part, Identifier) else part for part in statement.parts]
    sql = "".join(_ANY_TABLE if name is None else name for name in names)
    found = {**own, **{bound.parameter: bound.type for bound in (*statement.bound, *statement.native)}}
    known = {name: kind for name, kind in found.items() if kind is not None}
    return Typed(sql, known if len(known) == len(found) and None not in names else None)


def _name(part: Identifier, project: str) -> str | None:
    return stands_for(part.name, project)


def stands_for(name: str, project: str) -> str | None:
    """Return what stands for a name of the run that is a project or the org's dataset; None for others."""
    return project if name in _PROJECTS else DATASET if name in _DATASETS else None


def _own_types(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the types of the parameters that the step gives itself, as `processors.generic.arguments` reads them."""
    listed, mapped = config.get("parameters"), config.get("params")
    found: dict[str, str | None] = {}
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, Mapping) and isinstance(each.get("name"), str):
            found[each["name"]] = str(each.get("type", "STRING")).upper()
    for name, value in mapped.items() if isinstance(mapped, Mapping) else ():
        found[str(name)] = None if isinstance(value, str) and "{" in value else type_of(value)
    return found
