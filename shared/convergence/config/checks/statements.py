"""SQL that no run could read: statements of steps, and procedures. The parser is the run's own, behind a port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from convergence.config.files.procedures import load_procedure
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import BLOCKS
from convergence.config.processors import ps_types
from convergence.config.sql.kinds import asserts, kind_of_statement
from convergence.config.sql.templates import parse_sql
from convergence.config.templates.compiled import is_sql
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError, ConvergenceError, StepFailed
from convergence.ports.sql_reader import SqlReader

_LINE: Final = re.compile(r"line (\d{1,9}), column \d{1,9}: ")
_ANY_TABLE: Final = "t"  # stands for a name that the run knows: a statement reads the same with any


def check_statements(loaded: LoadedPipeline, reader: SqlReader) -> list[ConfigError]:
    """Return the mistakes of all SQL in a pipeline's steps, each at its line of the file."""
    found = []
    for index, step in enumerate(loaded.pipeline.steps):
        if not _runs_sql(step.ps_type):
            continue
        for block in BLOCKS:
            for at, text in _texts(getattr(step, block), ("steps", index, block)):
                try:
                    reader.read_statement(_with_names(text))
                except ConvergenceError as error:
                    found.append(_located(loaded, at, str(error)))
    return found


def check_rows(loaded: LoadedPipeline) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings about where rows of statements go: a change returns none for a destination, and
    those of a query without one are kept nowhere. A query that asserts, or whose result a step reads, has its use.
    """
    mistakes, warnings = [], []
    read = {name for step in loaded.prepared.steps for name in step.fixed["needs"] if name not in step.step.depends_on}
    named = {use.name.split(".")[1] for use in loaded.prepared.uses if use.name.startswith("results.")}
    conditions = " ".join(step.when or "" for step in loaded.pipeline.steps)
    for index, step in enumerate(loaded.pipeline.steps):
        if step.enabled is False or not _loads_rows(step.ps_type) or (step.config or {}).get("dry_run"):
            continue
        used = step.step_id in read | named or f"results.{step.step_id}." in conditions
        for at, text in _texts(step.config, ("steps", index, "config")):
            kind = kind_of_statement(text)
            if kind == "change" and step.destination:
                message = "the statement changes tables itself and returns no rows: remove `destination`"
                mistakes.append(loaded.positions.problem(("steps", index, "destination"), message))
            elif kind == "query" and not step.destination and not used and not asserts(text):
                message = "the rows of this query are kept nowhere: give `destination: {table: …}`, or remove the step"
                warnings.append(loaded.positions.problem(at, message))
    return mistakes, warnings


def check_procedure(root: Path, file: Path, reader: SqlReader) -> list[ConfigError]:
    """Return the mistakes of a procedure's file, each with `file:line:column`."""
    return list(reader.read_procedure(load_procedure(root, file)))


def _runs_sql(ps_type: str) -> bool:
    try:
        return bool(getattr(ps_types.load(ps_type), "runs_sql", False))
    except StepFailed:  # why it cannot be loaded is said where processors are checked
        return False


def _loads_rows(ps_type: str) -> bool:
    """True for a processor of one statement whose rows a destination may take."""
    if not _runs_sql(ps_type):
        return False
    processor = ps_types.load(ps_type)
    return hasattr(processor, "destination_model") and getattr(processor, "destination_optional", False)


def _texts(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*at, index))
    elif isinstance(value, str) and value.strip() and is_sql(at) and not _named_whole(value):
        yield at, value


def _named_whole(text: str) -> bool:
    """True for a statement that is one template: a parameter gives all of it."""
    return re.fullmatch(r"\s*\$?\{+[^{}]+\}+\s*", text) is not None


def _with_names(text: str) -> str:
    parts = parse_sql(text).parts
    return "".join(part if isinstance(part, str) else _ANY_TABLE for part in parts)


def _located(loaded: LoadedPipeline, at: KeyPath, message: str) -> ConfigError:
    """Name the file's line instead of the statement's, where the statement has lines of its own in the file."""
    line = _LINE.search(message)
    if line is None:
        return loaded.positions.problem(at, message)
    return loaded.positions.problem(at, message, line=int(line[1]) - 1)
