"""Finds SQL that no run could execute: SQL that cannot be parsed, and names that its tables' schema files lack.

The parser and the binder are those that runs use, accessed through a port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from convergence.config.checks.binding import typed
from convergence.config.checks.calls import check_calls
from convergence.config.checks.column_kinds import misfit_of
from convergence.config.checks.step_sql import loads_rows, runs_sql, texts, texts_of_files
from convergence.config.files.described_tables import DescribedTables
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Step
from convergence.config.prepare import types_of
from convergence.config.sources import SchemaSource
from convergence.config.sql.kinds import kind_of_statement
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError, ConvergenceError, NotFound, did_you_mean
from convergence.ports.sql_reader import Bound, BoundColumn, SqlReader
from convergence.ports.warehouse import LINEAGE_COLUMNS

_LINE: Final = re.compile(r"line (\d{1,9}), column \d{1,9}: ")
_CHANGES: Final = re.compile(r"\b(?:CREATE|ALTER|DROP)\b", re.IGNORECASE)
_CHANGED: Final = re.compile(r"\b(?:TABLE|VIEW)\s++(?:IF\s++(?:NOT\s++)?+EXISTS\s++)?+([\w.`{}-]++)", re.IGNORECASE)
_NAMED: Final = re.compile(r"'(\w+)'|is called (\w+)\.")


def check_statements(
    loaded: LoadedPipeline, reader: SqlReader, schemas: SchemaSource | None, configs_dir: Path
) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings about all SQL in a pipeline's steps, each at its line of the file."""
    check = _Check(loaded, reader, schemas, configs_dir)
    for index, step in enumerate(loaded.pipeline.steps):
        if runs_sql(step.ps_type):
            check.step(index, step)
    problems, warnings = check_calls(loaded, reader, configs_dir)
    return [*check.problems, *problems], [*check.warnings, *warnings]


class _Check:
    def __init__(
        self, loaded: LoadedPipeline, reader: SqlReader, schemas: SchemaSource | None, configs_dir: Path
    ) -> None:
        self.problems: list[ConfigError] = []
        self.warnings: list[ConfigError] = []
        self._loaded, self._reader, self._schemas, self._configs_dir = loaded, reader, schemas, configs_dir
        self._types = types_of(loaded.pipeline)

    def step(self, index: int, step: Step) -> None:
        """Look at all SQL of a step; what is wrong with one that is switched off is a warning."""
        wrong = self.warnings if step.enabled is False else self.problems
        for at, text in texts(step, index):
            sql, types = typed(text, step, self._types, self._reader.project)
            try:
                self._reader.read_statement(sql)
                if types is not None and not self._changed(text) and self._is_bound(step, text):
                    writes = loads_rows(step.ps_type) and not step.destination
                    wrong += self._bound(self._reader.bind(sql, types, writes=writes), step, at, text)
            except ConvergenceError as error:
                wrong.append(self._located(at, text, str(error)))
        for text in texts_of_files(step, self._configs_dir):
            try:
                self._reader.read_statement(text)
                self._reader.bind(text, {}, writes=False)
            except ConvergenceError as error:
                wrong.append(self._loaded.positions.problem(("steps", index, "config"), str(error)))

    def _changed(self, text: str) -> bool:
        """True for a statement about a table that another one of this file creates or alters: its columns are known
        only during the run."""
        words = set(re.findall(r"\w+", text))
        return any(name in words for definition, name in self._defined if definition != text)

    @staticmethod
    def _is_bound(step: Step, text: str) -> bool:
        return not (step.destination and kind_of_statement(text) == "change")

    def _bound(self, bound: Bound, step: Step, at: KeyPath, text: str) -> list[ConfigError]:
        """Return where the result does not fit its table; warn of names that cannot be looked up here."""
        for dataset in bound.datasets:
            message = (
                f"{dataset!r} is the dataset of one org, and runs of all others fail: write `{{org_dataset}}`, or "
                "leave it out"
            )
            self.warnings.append(self._located(at, text, message))
        known = () if self._schemas is None else tuple(self._schemas.paths)
        for table in bound.tables:
            near = did_you_mean(table, known)
            if near.startswith(" Did") and table not in self._elsewhere and table not in known:
                message = f"no schema file describes the table {table!r}.{near}"
                self.warnings.append(self._located(at, text, message))
        if bound.columns is None or not step.destination:
            return []
        return [self._located(at, text, message) for message in self._unfitting(bound.columns, step)]

    def _unfitting(self, columns: tuple[BoundColumn, ...], step: Step) -> Iterator[str]:
        """Yield columns of a result that its table does not have or cannot take, and those that it needs."""
        table = (step.destination or {}).get("table")
        try:
            schema = None if self._schemas is None or not isinstance(table, str) else self._schemas.get(table)
        except (NotFound, ConfigError):
            return  # reported where processors are checked
        if schema is None:
            return
        known = {column.name: column for column in schema.columns}
        for given in columns:
            if given.text in known and given.name not in known:
                yield f'"{given.text}" is a string in GoogleSQL: write the column without quotes, or as `{given.text}`'
            elif given.name not in known:
                yield f"the statement sets {given.name!r}, but {table} has no such column." + did_you_mean(
                    given.name, known
                )
            elif given.name not in LINEAGE_COLUMNS and (wrong := misfit_of(given, known[given.name])):
                yield f"{table}: {wrong}"
        names = {given.name for given in columns}
        for column in schema.columns:
            if column.mode == "REQUIRED" and column.name not in {*names, *LINEAGE_COLUMNS}:
                yield f"{table} needs the column {column.name!r}, which the statement does not set"

    @cached_property
    def _defined(self) -> list[tuple[str, str]]:
        """Statements of this file that make or alter tables, each with the name of its table."""
        steps = enumerate(self._loaded.pipeline.steps)
        sql = [text for index, step in steps for _, text in texts(step, index) if _CHANGES.search(text)]
        return [
            (text, re.findall(r"\w+", name)[-1])
            for text in sql
            for name in _CHANGED.findall(text)
            if name.strip("`{}.-")
        ]

    @cached_property
    def _elsewhere(self) -> set[str]:
        """Tables that steps of this file and migrations make, among other words of their statements."""
        made = {str((step.destination or {}).get("table")) for step in self._loaded.pipeline.steps}
        steps = enumerate(self._loaded.pipeline.steps)
        sql = [text for index, step in steps for _, text in texts(step, index) if "CREATE" in text.upper()]
        words = {word for each in sql for word in re.findall(r"\w+", each)}
        return made | words | DescribedTables(self._configs_dir).migrated

    def _located(self, at: KeyPath, text: str, message: str) -> ConfigError:
        """Name the file's line: the one that the parser names, or the one with what the message is about."""
        line = _LINE.search(message)
        if line is not None:
            return self._loaded.positions.problem(at, message, line=int(line[1]) - 1)
        named = _NAMED.search(message)
        found = None if named is None else re.search(rf"\b{re.escape(named[1] or named[2])}\b", text)
        if found is None:
            return self._loaded.positions.problem(at, message)
        return self._loaded.positions.problem(at, message, line=text.count("\n", 0, found.start()))
