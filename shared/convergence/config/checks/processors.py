"""Checks that need the step's processor: its `config` and its timeout. Imports the processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError

from convergence.config.loader import LoadedPipeline
from convergence.config.model.errors import details_of, sentence
from convergence.config.model.pipeline import Step
from convergence.config.processors import ps_types
from convergence.config.templates.compiled import is_sql
from convergence.config.templates.template import parse
from convergence.config.yaml.positions import KeyPath
from convergence.errors import FINDINGS_MAX, ConfigError, StepFailed, did_you_mean

Target = Literal["embedded", "gcp"]

_TABLE_IS_NAMED_ONLY: Final = frozenset({"generic.procedure_executor", "generic.noop"})  # they load no rows there
_REPLACES: Final = frozenset({"overwrite", "write_truncate", "truncate", "replace"})
EXECUTION_MAX_S: Final = 480.0  # one execution of a deployed function (design: docs/engine.md §6)


def check_processors(loaded: LoadedPipeline, target: Target) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings of the steps whose processors are installed."""
    problems: list[ConfigError] = []
    warnings: list[ConfigError] = []
    for index, step in enumerate(loaded.pipeline.steps):
        if not ps_types.is_installed(step.ps_type):
            continue
        at: KeyPath = ("steps", index)
        try:
            processor = ps_types.load(step.ps_type)
        except (ImportError, StepFailed) as error:
            problems.append(loaded.positions.problem((*at, "ps_type"), f"the processor cannot be loaded: {error}"))
            continue
        model = getattr(processor, "config_model", None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            problems.extend(islice(_config(loaded, model, step, (*at, "config")), FINDINGS_MAX))
        if len(problems) > FINDINGS_MAX:
            break
        if _too_long(step, processor):
            message = f"{step.timeout_s:g} s are more than {EXECUTION_MAX_S:g} s, and {step.ps_type!r} cannot pause"
            where = problems if target == "gcp" else warnings
            where.append(loaded.positions.problem((*at, "timeout_s"), f"{message}: a deployed function ends there"))
    return problems, [*warnings, *_replaced_twice(loaded)]


def _replaced_twice(loaded: LoadedPipeline) -> Iterator[ConfigError]:
    """Two steps that replace the same days of one table: the later one removes what the earlier one loaded."""
    first: dict[str, Step] = {}
    for index, step in enumerate(loaded.pipeline.steps):
        target = step.destination or {}
        table, mode = target.get("table"), str(target.get("write_mode") or "overwrite").lower()
        if not isinstance(table, str) or "{" in table or step.ps_type in _TABLE_IS_NAMED_ONLY or step.when is not None:
            continue
        if target.get("key_fields") or mode not in _REPLACES:
            continue
        earlier = first.setdefault(table, step)
        if earlier is not step:
            message = f"{earlier.step_id!r} replaces the run's days of {table!r} too: only the rows of one of them stay"
            yield loaded.positions.problem(("steps", index, "destination", "table"), message)


def _too_long(step: Step, processor: object) -> bool:
    asked = "timeout_s" in step.model_fields_set and step.timeout_s > EXECUTION_MAX_S
    return asked and not getattr(processor, "resumable", False)


def _config(loaded: LoadedPipeline, model: type[BaseModel], step: Step, at: KeyPath) -> Iterator[ConfigError]:
    """Mistakes of the config. A value with templates may become anything: its type is not judged here."""
    config = _as_resolved(dict(step.config), at)
    try:
        model.model_validate(config)
    except ValidationError as error:
        for path, detail in details_of(error, config):
            if _templated(config, path):
                continue
            message = sentence(detail, path)
            if detail["type"] == "extra_forbidden":
                known = did_you_mean(str(path[-1]), model.model_fields if len(path) == 1 else ())
                message = f"{step.ps_type} has no {path[-1]!r} here.{known}"
            yield loaded.positions.problem((*at, *path), message)


def _as_resolved(value: Any, at: KeyPath) -> Any:
    """Return the shape that a processor receives: SQL is a mapping."""
    if isinstance(value, str) and is_sql(at):
        return {"sql": value, "parameters": {}}
    if isinstance(value, Mapping):
        return {key: _as_resolved(inner, (*at, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_resolved(inner, (*at, index)) for index, inner in enumerate(value)]
    return value


def _templated(config: Any, path: KeyPath) -> bool:
    for key in path:
        try:
            config = config[key]
        except (LookupError, TypeError):
            return False
    return isinstance(config, str) and parse(config) is not None
