"""`generic.procedure_executor`: calls a stored procedure on the org's dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import ConfigDict, Field

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.settings import Destination, Settings, settings

ROWS_SHOWN_MAX: Final = 20
_TYPE: Final = re.compile(r"[A-Z][A-Z0-9]*(\([0-9, ]+\)|<[A-Z0-9 ,<>_()]+>)?")


class Argument(Settings):
    """One argument. An absent optional value takes its default, or NULL."""

    name: str
    type: str = "STRING"
    value: Any = None
    optional: bool = False
    default: Any = None
    description: str = ""


class Procedure(Settings):
    """`dataset` is where the procedure lives; only the system's own dataset has procedures."""

    name: str
    dataset: str = "organizations"


class ProcedureSettings(Settings):
    """`procedure`: a name or {name, dataset}; arguments as a typed list, or as a plain map whose types are guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    procedure: str | Procedure
    parameters: tuple[Argument, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)


class ProcedureProcessor:
    """One call, in one transaction, once however often the step is repeated."""

    config_model = ProcedureSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Call; the procedure's last SELECT comes back as `result`, at most 20 rows of it.

        The table that it writes, `destination.table`, is made from its schema file first.
        """
        wanted = settings(ProcedureSettings, step_config)
        if "destination" in step_config:
            await context.warehouse.ensure_table(settings(Destination, step_config, "destination").table)
        procedure = wanted.procedure if isinstance(wanted.procedure, str) else wanted.procedure.name
        name = procedure.strip("`").rpartition(".")[2].strip("`")
        answer = await context.warehouse.call(name, arguments(wanted))
        return {
            "status": SUCCESS,
            "procedure": name,
            "rows_processed": answer.rows_affected,
            "rows_written": answer.rows_affected,
            "result": [{column: _json(value) for column, value in row.items()} for row in answer.rows[:ROWS_SHOWN_MAX]],
        }


def arguments(wanted: ProcedureSettings) -> dict[str, Parameter]:
    """Return the call's arguments. Raises `StepFailed` for a missing value, a bad type, a name given twice."""
    found: dict[str, Parameter] = {name: Parameter(_guess(name, value), value) for name, value in wanted.params.items()}
    for argument in wanted.parameters:
        if argument.name in found:
            raise StepFailed(f"config.parameters: {argument.name!r} is given twice")
        kind = argument.type.upper()
        if not _TYPE.fullmatch(kind):
            raise StepFailed(f"config.parameters: {argument.name!r} has the type {argument.type!r}, no GoogleSQL type")
        value = argument.default if argument.value in (None, "") and argument.optional else argument.value
        if value is None and not argument.optional:
            raise StepFailed(f"config.parameters: {argument.name!r} has no value; set one or say optional: true")
        found[argument.name] = Parameter(kind, _typed(argument.name, kind, value))
    return found


def _typed(name: str, kind: str, value: Any) -> Any:
    """A YAML value as the type wants it; text is what templates give."""
    if value is None or not isinstance(value, str | int | float):
        return value
    readers: dict[str, Any] = {
        "INT64": int,
        "NUMERIC": lambda given: Decimal(str(given)),
        "BIGNUMERIC": lambda given: Decimal(str(given)),
        "FLOAT64": float,
        "DATE": lambda given: date.fromisoformat(str(given)),
        "TIMESTAMP": lambda given: datetime.fromisoformat(str(given)),
        "BOOL": lambda given: given if isinstance(given, bool) else {"true": True, "false": False}[str(given).lower()],
        "STRING": str,
    }
    try:
        return readers.get(kind, lambda given: given)(value)
    except (ValueError, ArithmeticError, KeyError) as error:
        raise StepFailed(f"config.parameters: {name!r} is {value!r}, which is no {kind}") from error


def _guess(name: str, value: Any) -> str:
    for kind, word in (
        (bool, "BOOL"),
        (int, "INT64"),
        (float, "FLOAT64"),
        (Decimal, "NUMERIC"),
        (datetime, "TIMESTAMP"),
    ):
        if isinstance(value, kind):
            return word
    if isinstance(value, date):
        return "DATE"
    if value is None or isinstance(value, str):
        return "STRING"
    raise StepFailed(f"config.params: {name!r} is a {type(value).__name__}; give it as config.parameters with its type")


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool | list | dict) else str(value)


def get_engine() -> ProcedureProcessor:
    """Return the processor."""
    return ProcedureProcessor()
