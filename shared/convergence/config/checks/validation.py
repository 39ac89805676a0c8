"""`convergence validate`: every file of the configs folder, each by the rules of its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from convergence.config.checks.chains import Get, check_chains
from convergence.config.checks.kept_rows import check_rows
from convergence.config.checks.named_providers import known_providers
from convergence.config.checks.processors import Target, check_processors
from convergence.config.checks.sql_files import SQL_KINDS, check_sql_file
from convergence.config.checks.statements import check_statements
from convergence.config.files.allocation import read_allocation
from convergence.config.files.kinds import Kind, kind_of
from convergence.config.files.models import MODELS
from convergence.config.files.naming_rules import Naming, load_naming
from convergence.config.files.precedence import load_precedence
from convergence.config.files.providers import FILE as PROVIDERS_FILE
from convergence.config.files.providers import load_providers
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.files.schemas.places import in_folder
from convergence.config.files.schemas.table import load_table_schema, tables_in
from convergence.config.loader import LoadedPipeline, load_pipeline
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigError, ConfigErrors
from convergence.ports.sql_reader import SqlReader


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked and what is wrong. `checked` counts files by kind."""

    checked: dict[Kind, int]
    problems: tuple[ConfigError, ...]
    warnings: tuple[ConfigError, ...]

    @property
    def ok(self) -> bool:
        """True when there are no problems; warnings do not count."""
        return not self.problems

    def raise_problems(self) -> None:
        """Raise `ConfigErrors` with all problems, if there are any."""
        if self.problems:
            raise ConfigErrors(self.problems)


def validate(
    root: Path,
    files: Sequence[Path],
    *,
    everything: bool = False,
    target: Target = "embedded",
    get: Get | None = None,
    reader: SqlReader | None = None,
) -> Report:
    """Check `files`, all below `root`; with `everything`, also check what only shows across files.

    `get` finds pipelines that other files name; without it, pipelines named by `then` are not looked up.

    `reader` reads SQL; without it only the templates of statements are checked.

    `target` is where the pipelines are to run: "gcp" refuses what a deployed function cannot do.
    """
    checked: Counter[Kind] = Counter()
    problems: list[ConfigError] = []
    warnings: list[ConfigError] = []
    pipelines: list[LoadedPipeline] = []
    naming = load_naming(root)
    schemas = _schemas(root, problems)
    providers = _providers(root)
    for file in files:
        kind = kind_of(file.relative_to(root))
        if kind is Kind.OTHER:
            continue
        checked[kind] += 1
        try:
            if kind is Kind.PIPELINE:
                loaded = load_pipeline(file, root)
                pipelines.append(loaded)
                wrong, doubtful = check_processors(loaded, target, schemas, root, providers)
                unreadable, unfamiliar = ([], []) if reader is None else check_statements(loaded, reader, schemas, root)
                problems.extend([*wrong, *unreadable])
                problems.extend([*([] if get is None else check_chains(loaded, get))])
                unloadable, unkept = check_rows(loaded)
                problems.extend(unloadable)
                warnings.extend([*loaded.warnings, *doubtful, *unfamiliar, *unkept, *_named(loaded, naming)])
            else:
                _check(file, root, kind)
                if reader is not None:
                    problems.extend(check_sql_file(root, file, kind, reader))
                problem = _names_of_tables(file, naming) if kind is Kind.TABLE_SCHEMA else None
                if kind is Kind.ALERTS:
                    problem = "alerts are checked, but not active yet: no alert will be sent"
                warnings.extend([ConfigError(problem, where=file.relative_to(root).as_posix())] if problem else ())
        except ConfigErrors as errors:
            problems.extend(errors.problems)
        except ConfigError as error:
            problems.append(error)
    if everything:
        problems.extend(_across(pipelines))
        problems.extend(_registry(root, problems))
    return Report(dict(checked), tuple(problems), tuple(warnings))


def _schemas(root: Path, problems: list[ConfigError]) -> TableSchemas | None:
    """Return the tables, or None if two files describe the same one: then no look-up can be trusted."""
    schemas = TableSchemas(root)
    try:
        schemas.check_names()
    except ConfigError as error:
        problems.append(error)
        return None
    return schemas


def _providers(root: Path) -> frozenset[str] | None:
    """Return the names of providers; None where the folder's registry is wrong."""
    try:
        return known_providers(root)
    except ConfigErrors:
        return None


def _check(file: Path, root: Path, kind: Kind) -> None:
    name = file.relative_to(root).as_posix()
    if kind is Kind.TABLE_SCHEMA:
        try:
            for table in tables_in(file):
                load_table_schema(file, table)
        except ConfigError as error:
            raise in_folder(error, file, root) from error
        return
    if kind in SQL_KINDS:
        if not file.read_bytes().strip():
            raise ConfigError(f"the {kind.value}'s file is empty", where=name)
        return
    if kind is Kind.PRECEDENCE:
        load_precedence(root)
        return
    if kind is Kind.ALLOCATION:
        read_allocation(file, name)
        return
    source = read_yaml(file.read_bytes(), name)  # JSON is YAML, so its mistakes have lines too
    problems = list(source.problems)
    try:
        MODELS[kind].model_validate(source.data)
    except ValidationError as error:
        problems += problems_of(error, source.data, source.positions)
    if problems:
        raise ConfigErrors(problems)


def _names_of_tables(file: Path, naming: Naming) -> str | None:
    return "; ".join(filter(None, map(naming.table_problem, tables_in(file)))) or None


def _named(loaded: LoadedPipeline, naming: Naming) -> list[ConfigError]:
    """Steps whose ids break the naming rules of this configs folder."""
    found = ((index, naming.step_problem(step.step_id)) for index, step in enumerate(loaded.pipeline.steps))
    return [loaded.positions.problem(("steps", index, "step_id"), problem) for index, problem in found if problem]


def _across(pipelines: Sequence[LoadedPipeline]) -> list[ConfigError]:
    """Aliases of two pipelines, or of one whose path is another pipeline's alias."""
    taken = {loaded.path: loaded.path for loaded in pipelines}
    problems = []
    for loaded in pipelines:
        for index, alias in enumerate(loaded.pipeline.aliases):
            if taken.setdefault(alias, loaded.path) != loaded.path:
                message = f"the alias {alias!r} already leads to {taken[alias]}"
                problems.append(loaded.positions.problem(("aliases", index), message))
    return problems


def _registry(root: Path, known: Sequence[ConfigError]) -> list[ConfigError]:
    """Providers that two files name; what one file alone shows is in `known` already."""
    if not (root / PROVIDERS_FILE).exists():
        return []
    try:
        load_providers(root)
    except ConfigErrors as errors:
        reported = set(map(str, known))
        return [problem for problem in errors.problems if str(problem) not in reported]
    return []
