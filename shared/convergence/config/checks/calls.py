"""Checks of procedure calls: undeclared and missing arguments, and the names in the procedure's statements.

The statements are those of this call: dynamic SQL is folded with the arguments that are known before a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from convergence.config.checks.binding import stands_for
from convergence.config.checks.step_sql import texts
from convergence.config.files.procedures import load_procedure, procedure_file
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Step
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError, ConvergenceError, NotFound, did_you_mean
from convergence.ports.sql_reader import SqlReader
from convergence.ports.warehouse import Routine

CALLS: Final = "generic.procedure_executor"
_ALTERS: Final = re.compile(r"\bALTER\s+TABLE\b", re.IGNORECASE)
_TEMPLATE: Final = re.compile(r"\s*\$?\{+\s*(\w+)\s*\}+\s*")


class _Given(NamedTuple):
    """An argument of a call; `value` is None where only the run knows it."""

    at: KeyPath
    name: str
    type: str
    value: Any


def check_calls(
    loaded: LoadedPipeline, reader: SqlReader, configs_dir: Path
) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings about the calls of a pipeline; those of a step that is switched off are warnings."""
    problems: list[ConfigError] = []
    warnings: list[ConfigError] = []
    steps = list(enumerate(loaded.pipeline.steps))
    alters = any(_ALTERS.search(text) for index, step in steps for _, text in texts(step, index))
    for index, step in steps:
        if step.ps_type == CALLS:
            calls = _call(index, step, reader, configs_dir, names_only=alters)
            found = (loaded.positions.problem(at, text) for at, text in calls)
            (warnings if step.enabled is False else problems).extend(found)
    return problems, warnings


def _call(
    index: int, step: Step, reader: SqlReader, configs_dir: Path, *, names_only: bool
) -> Iterator[tuple[KeyPath, str]]:
    """Yield places and mistakes. `names_only`: a statement of the file alters a table, so columns are not judged."""
    config = step.config or {}
    named = config.get("procedure")
    name = named.get("name") if isinstance(named, Mapping) else named
    if not isinstance(name, str) or "{" in name:
        return
    try:
        routine = _routine(configs_dir, name.strip("`").rpartition(".")[2].strip("`"))
        declared = reader.parameters_of(routine)
    except (NotFound, ConfigError):
        return  # reported where processors and files are checked
    at: KeyPath = ("steps", index, "config")
    given = list(_given(config, at, reader.project))
    wrong = list(_names(routine.name, declared, given, (*at, "procedure")))
    yield from wrong
    if not wrong and not names_only:
        types = {each.name.lower(): each.type for each in given}
        values = {each.name.lower(): each.value for each in given if each.value is not None}
        try:
            reader.bind_call(routine, types, values, lambda each: _routine(configs_dir, each))
        except ConvergenceError as error:
            yield (*at, "procedure"), str(error)


def _routine(configs_dir: Path, name: str) -> Routine:
    return load_procedure(configs_dir, procedure_file(configs_dir, name))


def _given(config: Mapping[str, Any], at: KeyPath, project: str) -> Iterator[_Given]:
    listed, mapped = config.get("parameters"), config.get("params")
    for number, each in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(each, Mapping) and isinstance(each.get("name"), str):
            kind = str(each.get("type", "STRING")).upper()
            absent = each.get("optional") is True and each.get("value") in (None, "")
            value = _value(each.get("default" if absent else "value"), project)
            yield _Given((*at, "parameters", number, "name"), each["name"], kind, value)
    for name, value in mapped.items() if isinstance(mapped, Mapping) else ():
        yield _Given((*at, "params", name), str(name), "STRING", _value(value, project))


def _value(value: Any, project: str) -> str | None:
    """Return a text that can become part of SQL; None for what only the run knows."""
    if not isinstance(value, str):
        return None
    found = _TEMPLATE.fullmatch(value)
    return stands_for(found[1], project) if found else None if "{" in value else value


def _names(
    procedure: str, declared: Mapping[str, bool], given: list[_Given], at: KeyPath
) -> Iterator[tuple[KeyPath, str]]:
    if any("{" in each.name for each in given):
        return
    known = {name.lower() for name in declared}
    for each in given:
        if each.name.lower() not in known:
            yield each.at, f"{procedure} has no parameter {each.name!r}.{did_you_mean(each.name, declared)}"
    names = {each.name.lower() for each in given}
    for name, needed in declared.items():
        if needed and name.lower() not in names:
            yield at, f"{procedure} needs a value for its parameter {name!r}: add it to config.parameters"
