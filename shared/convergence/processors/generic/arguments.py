"""Typed values that a file gives to SQL: arguments of a procedure, parameters of a query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter
from convergence.processors.settings import Settings

_TYPE: Final = re.compile(r"[A-Z][A-Z0-9]{0,30}(\([0-9, ]{1,20}\)|<[A-Z0-9 ,<>_()]{1,1000}>)?")


class Argument(Settings):
    """One argument. An absent optional value takes its default, or NULL."""

    name: str
    type: str = "STRING"
    value: Any = None
    optional: bool = False
    default: Any = None
    description: str = ""


def arguments(parameters: Iterable[Argument], params: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return typed values by name; the types of `params` are guessed.

    Raises `StepFailed` for a missing value, a bad type, a name given twice.
    """
    found: dict[str, Parameter] = {name: Parameter(_guess(name, value), value) for name, value in params.items()}
    for argument in parameters:
        if argument.name in found:
            raise StepFailed(f"config.parameters: {argument.name!r} is given twice")
        kind = argument.type.upper()
        if not _TYPE.fullmatch(kind):
            raise StepFailed(
                f"config.parameters: {argument.name!r} has {argument.type!r}, which is not a GoogleSQL type"
            )
        value = argument.default if argument.value in (None, "") and argument.optional else argument.value
        if value is None and not argument.optional:
            raise StepFailed(f"config.parameters: {argument.name!r} has no value; set one, or set optional: true")
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
        raise StepFailed(f"config.parameters: {name!r} is {value!r}, which is not a {kind}") from error


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
