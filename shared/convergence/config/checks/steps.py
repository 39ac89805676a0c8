"""Checks what a step needs before it may run: an installed processor, blocks that fit its models, tables with a schema.

All callers share this check: `validate` passes a file's steps with their templates; dispatch (and with it `plan` and
dry runs) passes those of the plan. Credentials are looked up by the engine, which knows the org
(`engine/requirements.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from convergence.config.model.errors import details_of, sentence, without
from convergence.config.model.pipeline import BLOCKS
from convergence.config.sources import SchemaSource
from convergence.config.templates.template import parse
from convergence.config.yaml.positions import KeyPath
from convergence.domain.sql_names import checked
from convergence.errors import FINDINGS_MAX, ConfigError, InvalidInput, NotFound, StepFailed, did_you_mean
from convergence.ports.processor import Processor
from convergence.ports.step.settings import Delegates

Report = Callable[[KeyPath, str], ConfigError]  # path below the step, message

_OPTIONAL: Final = frozenset({"destination", "transform"})  # their absence is not a mistake of the block's model


@dataclass(slots=True)
class Needs:
    """What was found out about a step. `opens`: groups of credentials, of which one each has to exist."""

    problems: list[ConfigError] = field(default_factory=list)
    opens: tuple[tuple[str, ...], ...] = ()
    stores: str = ""
    tries_credential: bool = False


@dataclass(frozen=True, slots=True)
class StepCheck:
    """Checks steps; without `schemas` tables are not looked up. `landed` are tables that need no schema file because
    steps of the same pipeline create them from their records."""

    load: Callable[[str], Processor]
    schemas: SchemaSource | None
    configs_dir: Path
    landed: frozenset[str] = frozenset()

    def __call__(self, ps_type: str, blocks: Mapping[str, Any], report: Report) -> Needs:
        """Check one step. A value that still has a template may become anything: its type is not judged."""
        needs = Needs()
        self._look(ps_type, blocks, report, needs)
        del needs.problems[FINDINGS_MAX + 1 :]
        return needs

    def _look(self, ps_type: str, blocks: Mapping[str, Any], report: Report, needs: Needs) -> None:
        try:
            processor = self.load(ps_type)
        except StepFailed as error:
            needs.problems.append(report(("ps_type",), str(error)))
            return
        needs.tries_credential = needs.tries_credential or getattr(processor, "tries_credential", False)
        settings = {name: _block(processor, ps_type, name, blocks, report, needs.problems) for name in BLOCKS}
        needs.problems += self._tables(processor, settings, blocks, report)
        needs.problems += self._columns(settings, report)
        needs.problems += self._together(processor, settings, report)
        config: Any = settings["config"]
        if _has(config, "opens"):
            needs.opens += tuple(group for names in config.opens() if (group := tuple(filter(_known, names))))
        if _has(config, "stores") and _known(config.stores()):
            needs.stores = config.stores()
        if _has(config, "delegates"):
            self._delegated(config, blocks, report, needs)

    def _delegated(self, config: Delegates, blocks: Mapping[str, Any], report: Report, needs: Needs) -> None:
        try:
            for ps_type, inner in config.delegates(self.configs_dir):
                self._look(ps_type, {**blocks, "config": inner}, report, needs)
        except StepFailed as error:
            if not any(_templated(blocks, ("config", key)) for key in blocks.get("config", ())):
                needs.problems.append(report(("config",), str(error)))

    def _together(
        self, processor: Processor, settings: Mapping[str, BaseModel | None], report: Report
    ) -> Iterator[ConfigError]:
        """Yield settings of several blocks that do not go together."""
        check = getattr(processor, "unfitting", None)
        table = getattr(settings["destination"], "table", "")
        if check is None or settings["config"] is None or not _known(table) or self.schemas is None:
            return
        try:
            self.schemas.get(table)
            has_file = True
        except NotFound:
            has_file = False
        except ConfigError:
            return  # reported with the table
        for message in check(settings, has_file=has_file):
            yield report((), message)

    def _columns(self, settings: Mapping[str, Any], report: Report) -> Iterator[ConfigError]:
        """Yield columns that the settings name and the schema file of their table does not have."""
        for block, model in settings.items():
            if model is None or not _has(model, "names_columns"):
                continue
            for named in model.names_columns():
                landed = block != "destination" and named.table in self.landed  # its records may have added it
                names = self._names(named.table)
                if names and not landed and _known(named.column) and named.column not in names:
                    message = f"{named.table} has no column {named.column!r}.{did_you_mean(named.column, names)}"
                    yield report((block, *named.path), message)

        destination: Any = settings["destination"]
        # A destination whose columns come from its records does not name any itself.
        brought = getattr(destination, "landing", None) is not None
        names = frozenset() if brought else self._names(getattr(destination, "table", ""))
        for block, model in settings.items():
            for path, column in model.fills_columns() if names and _has(model, "fills_columns") else ():
                if column not in names:
                    message = f"{destination.table} has no column {column!r}.{did_you_mean(column, names)}"
                    yield report((block, *path), message)

    def _names(self, table: str) -> frozenset[str]:
        """Return the columns of a table's file; none without one."""
        if self.schemas is None or not _known(table):
            return frozenset()
        try:
            return frozenset(column.name for column in self.schemas.get(table).columns)
        except (NotFound, ConfigError):
            return frozenset()  # reported with the table

    def _tables(
        self, processor: Processor, settings: Mapping[str, Any], blocks: Mapping[str, Any], report: Report
    ) -> Iterator[ConfigError]:
        """Yield what is wrong with the tables that the step loads or makes."""
        config: Any = settings["config"]
        destination = settings["destination"]
        named: list[tuple[KeyPath, str]] = []
        if destination is not None:
            named.append((("destination", "table"), getattr(destination, "table", "")))
        elif fixed := getattr(processor, "fixed_table", ""):
            named.append((("ps_type",), fixed))
        elif _needs_destination(processor) and not blocks.get("destination"):
            yield report((), "the step needs `destination: {table: …}`: where its rows go")
        if _has(config, "uses_tables"):
            named += [(("config",), table) for table in config.uses_tables()]
        for at, table in named:
            if _known(table) and (wrong := _wrong_name(table)):
                yield report(at, wrong)
                continue
            if self.schemas is None or not _known(table):
                continue
            try:
                self.schemas.get(table)
            except NotFound as error:
                if table in self.landed or _lands_raw(processor):
                    continue
                cure = f"describe its columns in schemas/{table}.json beside the pipeline, or correct the name"
                yield report(at, f"the table {table!r} has no schema. {error} {cure[0].upper()}{cure[1:]}.")
            except ConfigError as error:
                yield error


def landed(load: Callable[[str], Processor], steps: Iterable[tuple[str, Mapping[str, Any]]]) -> frozenset[str]:
    """Return the tables that steps (type and blocks) make without a schema file."""
    return frozenset(table for ps_type, blocks in steps if (table := _table(blocks)) and _makes(load, ps_type))


def _makes(load: Callable[[str], Processor], ps_type: str) -> bool:
    try:
        return _lands_raw(load(ps_type))
    except StepFailed:
        return False  # reported where the step itself is checked


def _lands_raw(processor: Processor) -> bool:
    return getattr(processor, "lands_raw", False)


def _table(blocks: Mapping[str, Any]) -> str:
    destination = blocks.get("destination")
    table = destination.get("table") if isinstance(destination, Mapping) else None
    return str(table) if _known(table) else ""


def _has(settings: object, method: str) -> bool:
    """True when a model has a method of `ports.processor`; asking a protocol takes forty times as long."""
    return hasattr(type(settings), method)


def _needs_destination(processor: Processor) -> bool:
    return hasattr(processor, "destination_model") and not getattr(processor, "destination_optional", False)


def _block(
    processor: Processor,
    ps_type: str,
    name: str,
    blocks: Mapping[str, Any],
    report: Report,
    problems: list[ConfigError],
) -> BaseModel | None:
    """Return a block as its processor's model, as far as it can be known; add what is wrong to `problems`."""
    model = getattr(processor, f"{name}_model", None)
    given = blocks.get(name)
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or (name in _OPTIONAL and not given):
        return None
    given = dict(given or {})
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = list(islice(_mistakes(model, ps_type, name, error, given, report), FINDINGS_MAX))
        problems += found
        return None if found else _without_templates(model, given, error)


def _mistakes(
    model: type[BaseModel], ps_type: str, block: str, error: ValidationError, given: Mapping[str, Any], report: Report
) -> Iterator[ConfigError]:
    for path, detail in details_of(error, given):
        unknown = detail["type"] == "extra_forbidden"
        if _templated(given, path) and not unknown:
            continue
        message = sentence(detail, path)
        if unknown:
            keys = [field.alias or name for name, field in model.model_fields.items()]
            known = did_you_mean(str(path[-1]), keys if len(path) == 1 else ())
            message = f"{ps_type} has no {path[-1]!r} here.{known}"
        yield report((block, *path), message)


def _without_templates(model: type[BaseModel], given: Mapping[str, Any], error: ValidationError) -> BaseModel | None:
    """Return the settings without the values that only their templates make wrong."""
    try:
        return model.model_validate(without(given, error))
    except ValidationError:
        return None


def _templated(block: Any, path: KeyPath) -> bool:
    for key in path:
        try:
            block = block[key]
        except (LookupError, TypeError):
            return False
    return isinstance(block, str) and parse(block) is not None


def _wrong_name(table: str) -> str:
    """Return what is wrong with a table's name; nothing if it is right."""
    try:
        checked(table, "table")
    except InvalidInput as error:
        return f"{error} Rename it."
    return ""


def _known(name: Any) -> bool:
    """True for a name that is there and has no template."""
    return isinstance(name, str) and bool(name) and parse(name) is None
