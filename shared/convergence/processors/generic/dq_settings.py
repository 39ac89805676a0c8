"""Keys of `generic.dq_check`, in the step or in a file of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field, model_validator

from convergence.config.files.below import read_below
from convergence.config.templates.template import parse
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.step.settings import NamedColumn
from convergence.processors.generic.bq_execute import Sql
from convergence.processors.settings import Settings, settings

CheckKind = Literal["not_null", "unique", "range", "accepted_values", "row_count", "freshness", "custom_sql"]
Scope = Literal["run", "days", "all"]

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "not_null": ("columns",),
    "unique": ("columns",),
    "range": ("columns",),
    "accepted_values": ("columns", "values"),
    "freshness": ("columns", "max_age_hours"),
    "custom_sql": ("sql",),
}


class Check(Settings):
    """One expectation.

    range: `min`, `max`, both included. row_count: `min`, `max`, or as many as in `source_table`, within `tolerance` (a
    share). freshness: the latest value of the column is at most `max_age_hours` old, and not in the future. custom_sql:
    returns no row.
    """

    type: CheckKind
    name: str = ""
    columns: tuple[str, ...] = ()
    min: float | int | str | None = None
    max: float | int | str | None = None
    values: tuple[Any, ...] = ()
    source_table: str = ""
    tolerance: float = Field(default=0, ge=0)
    max_age_hours: float | None = Field(default=None, gt=0)
    sql: Sql | None = None
    on_fail: Literal["stop", "warn", "quarantine"] = "stop"

    @model_validator(mode="before")
    @classmethod
    def _one_column(cls, value: Any) -> Any:
        if isinstance(value, dict) and "column" in value:
            rest = {key: inner for key, inner in value.items() if key != "column"}
            return {**rest, "columns": [value["column"]]}
        return value

    @model_validator(mode="after")
    def _complete(self) -> Check:
        missing = [name for name in _NEEDS.get(self.type, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"{self.type} needs {' and '.join(missing)}")
        if self.type in {"range", "row_count"} and self.min is None and self.max is None and not self.source_table:
            raise ValueError(f"{self.type} needs min, max" + (" or source_table" if self.type == "row_count" else ""))
        if any(isinstance(bound, float) and math.isnan(bound) for bound in (self.min, self.max)):
            raise ValueError(f"{self.type}: a bound that is not a number holds for every value")
        if None in self.values:
            raise ValueError(
                "values: with null among them every value is accepted; a NULL passes anyway (see not_null)"
            )
        if self.on_fail == "quarantine" and self.type in {"row_count", "freshness", "custom_sql"}:
            raise ValueError(f"{self.type} does not identify rows: on_fail must be stop or warn")
        return self


class CheckFile(Settings):
    """Which rows are checked: `scope: run` the rows that this pipeline and credential brought in this run, or for its
    days; `days` all rows of these days, whichever pipeline brought them; `all` the whole table."""

    table: str
    checks: tuple[Check, ...] = Field(min_length=1)
    scope: Scope = "run"


class CheckSettings(Settings):
    """The checks, or `dq_config`: the file below configs/ that holds them."""

    table: str = ""
    checks: tuple[Check, ...] = ()
    scope: Scope = "run"
    dq_config: str = ""

    def uses_tables(self) -> Sequence[str]:
        """Return the table that is checked, and those that it is compared with."""
        return tuple(filter(None, (self.table, *(check.source_table for check in self.checks))))

    def names_columns(self) -> Sequence[NamedColumn]:
        """Return the columns that are checked, as `NamesColumns` requires."""
        return [
            NamedColumn(("checks", number), self.table, column)
            for number, check in enumerate(self.checks)
            for column in check.columns
        ]

    def delegates(self, configs_dir: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return the step as its file has it. Raises `StepFailed` for a file that is missing or wrong."""
        if not self.dq_config or parse(self.dq_config) is not None:
            return ()
        found = _of_file(self.dq_config, read_below(configs_dir, self.dq_config), self.table)
        return [("generic.dq_check", found.model_dump(exclude_defaults=True))]

    @model_validator(mode="after")
    def _one_place(self) -> CheckSettings:
        if bool(self.dq_config) == bool(self.checks):
            raise ValueError("give checks, or dq_config with the file that holds them")
        if self.checks and not self.table:
            raise ValueError("set table: the table to check")
        return self


def read_checks(options: CheckSettings, context: Context) -> CheckFile:
    """Return the checks. Raises `StepFailed` for a file that is missing or holds something else."""
    if not options.dq_config:
        return CheckFile(table=options.table, checks=options.checks, scope=options.scope)
    return _of_file(options.dq_config, context.read_config(options.dq_config), options.table)


def _of_file(name: str, content: bytes, table: str) -> CheckFile:
    try:
        data = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise StepFailed(f"{name}: not YAML: {str(error)[:200]}") from error
    found = settings(CheckFile, {name: data}, name)
    return found if not table else found.model_copy(update={"table": table})
