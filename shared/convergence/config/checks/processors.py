"""Checks of a file's steps that need their processors: blocks, tables and timeouts. Imports the processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from convergence.config.checks.named_providers import Opening, unknown_providers
from convergence.config.checks.steps import StepCheck, landed
from convergence.config.files.procedures import FOLDER as PROCEDURES
from convergence.config.files.procedures import procedure_names
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import BLOCKS, Step
from convergence.config.processors import ps_types
from convergence.config.sources import SchemaSource
from convergence.config.templates.compiled import is_sql
from convergence.config.yaml.positions import KeyPath
from convergence.errors import FINDINGS_MAX, ConfigError, did_you_mean, near_names

Target = Literal["embedded", "gcp"]

_TABLE_IS_NAMED_ONLY: Final = frozenset({"generic.procedure_executor", "generic.noop"})  # they load no rows there
_CALLS: Final = "generic.procedure_executor"
_REPLACES: Final = frozenset({"overwrite", "write_truncate", "truncate", "replace"})
_NEARLY: Final = 0.9  # `meter` and `meters`; tables of two providers are less alike
EXECUTION_MAX_S: Final = 480.0  # one execution of a deployed function (design: docs/engine.md §6)


def check_processors(
    loaded: LoadedPipeline,
    target: Target,
    schemas: SchemaSource | None = None,
    configs_dir: Path = Path("configs"),
    providers: frozenset[str] | None = None,
) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings of the steps; a mistake in a disabled step is a warning.

    Without `schemas`, tables are not looked up; without `providers` (all known names), the providers named are not.
    """
    problems: list[ConfigError] = []
    warnings: list[ConfigError] = []
    blocks_of = [{name: block for name in BLOCKS if (block := getattr(step, name))} for step in loaded.pipeline.steps]
    types = (step.ps_type for step in loaded.pipeline.steps)
    tables = landed(ps_types.load, zip(types, blocks_of, strict=True))
    steps: list[Opening] = []
    check = StepCheck(ps_types.load, schemas, configs_dir, tables)
    for index, (step, blocks) in enumerate(zip(loaded.pipeline.steps, blocks_of, strict=True)):
        at: KeyPath = ("steps", index)
        needs = check(step.ps_type, as_resolved(blocks, at), partial(_report, loaded, at))
        found = needs.problems
        steps.append((index, blocks, needs))
        (warnings if step.enabled is False else problems).extend(found)
        if len(problems) > FINDINGS_MAX:
            break
        if not found and not ps_types.is_async(ps_types.load(step.ps_type)):
            message = "its `execute` is not async, so the step will fail: write `async def execute`"
            warnings.append(loaded.positions.problem((*at, "ps_type"), message))
        warnings += _unknown_procedure(loaded, index, step, configs_dir)
        warnings += () if found else _near_table(loaded, index, step, schemas)
        if _too_long(step):
            message = f"{step.timeout_s:g} s are more than {EXECUTION_MAX_S:g} s, and {step.ps_type!r} cannot pause"
            where = problems if target == "gcp" else warnings
            where.append(loaded.positions.problem((*at, "timeout_s"), f"{message}: a deployed function ends there"))
    unknown = () if providers is None else unknown_providers(loaded, steps, providers)
    return problems, [*warnings, *unknown, *_replaced_twice(loaded)]


def _report(loaded: LoadedPipeline, at: KeyPath, path: KeyPath, message: str) -> ConfigError:
    return loaded.positions.problem((*at, *path), message)


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
            message = (
                f"{earlier.step_id!r} replaces the run's days of {table!r} too: only the rows of one of them remain"
            )
            yield loaded.positions.problem(("steps", index, "destination", "table"), message)


def _near_table(loaded: LoadedPipeline, index: int, step: Step, schemas: SchemaSource | None) -> Iterator[ConfigError]:
    """Yield a table without a file whose name resembles one with a file: its records would land in a separate table."""
    destination = step.destination or {}
    table = destination.get("table")
    lands_raw = getattr(ps_types.load(step.ps_type), "lands_raw", False)
    if schemas is None or not lands_raw or destination.get("schema") or not isinstance(table, str) or "{" in table:
        return
    near = near_names(table, schemas.paths, most=1, cutoff=_NEARLY)
    if near and table not in schemas.paths:
        message = (
            f"no schema file describes {table!r}, so each record lands in it as one JSON value.{near} "
            "Write `schema: {mode: raw}` or `{mode: infer}` to choose how"
        )
        yield loaded.positions.problem(("steps", index, "destination", "table"), message)


def _unknown_procedure(loaded: LoadedPipeline, index: int, step: Step, configs_dir: Path) -> Iterator[ConfigError]:
    """Yield a procedure that no file defines; the warehouse may have it from elsewhere."""
    named = (step.config or {}).get("procedure")
    name = named.get("name") if isinstance(named, Mapping) else named
    if step.ps_type != _CALLS or not isinstance(name, str) or "{" in name:
        return
    known = procedure_names(configs_dir)
    if name.rpartition(".")[2] not in known:
        message = f"no file below {PROCEDURES.as_posix()} defines {name!r}; the step fails unless the warehouse has it."
        at: KeyPath = ("steps", index, "config", "procedure")
        yield loaded.positions.problem(at, message + did_you_mean(name, known))


def _too_long(step: Step) -> bool:
    if "timeout_s" not in step.model_fields_set or step.timeout_s <= EXECUTION_MAX_S:
        return False
    return ps_types.is_installed(step.ps_type) and not getattr(ps_types.load(step.ps_type), "resumable", False)


def as_resolved(value: Any, at: KeyPath) -> Any:
    """Return the shape that a processor receives: SQL is a mapping."""
    if isinstance(value, str) and is_sql(at):
        return {"sql": value, "parameters": {}}
    if isinstance(value, Mapping):
        return {key: as_resolved(inner, (*at, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_resolved(inner, (*at, index)) for index, inner in enumerate(value)]
    return value
