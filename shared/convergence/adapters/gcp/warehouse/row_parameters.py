"""Few rows as a parameter of the statement that loads them: an array of structs instead of a staging table.

BigQuery takes 100,000 load jobs a day from a project, which all orgs share, and most steps bring some hundred rows. The
values are the strings that a load job would read, and the types are those of the staging table's columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from convergence.domain.sql_names import bigquery_name, checked
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import Column

PARAMETER_BYTES: Final = 100_000  # of rows as JSON lines; each name and type costs about as much again
_SCALARS: Final = frozenset(
    {"BIGNUMERIC", "BOOL", "BYTES", "DATE", "DATETIME", "FLOAT64", "INT64", "NUMERIC", "STRING", "TIME", "TIMESTAMP"}
)


@dataclass(frozen=True, slots=True)
class RowsParameter:
    """A query parameter, as google-cloud-bigquery takes one. Shape: REST reference, `QueryParameter`."""

    name: str
    kind: dict[str, Any]
    value: dict[str, Any]

    @property
    def sql(self) -> str:
        """Return what follows FROM: a table of the rows."""
        names = [bigquery_name(each["name"]) for each in self.kind["arrayType"]["structTypes"]]
        return f"(SELECT {', '.join(f'given.{name}' for name in names)} FROM UNNEST(@{self.name}) AS given)"

    def to_api_repr(self) -> dict[str, Any]:
        """Return it as the API has it."""
        return {"name": self.name, "parameterType": self.kind, "parameterValue": self.value}


def rows_parameter(name: str, columns: Sequence[Column], lines: Sequence[bytes]) -> RowsParameter | None:
    """Return rows, JSON lines with values of `columns`, as a parameter; None where a parameter cannot have them."""
    row = Column(name, "STRUCT", "REPEATED", fields=tuple(columns))
    try:
        return RowsParameter(name, _kind(row), _value(row, [orjson.loads(line) for line in lines]))
    except _Unfit:
        return None


class _Unfit(Exception):
    """A type that no parameter has, or a record that is null: the API knows no null STRUCT."""


def _kind(column: Column) -> dict[str, Any]:
    if column.mode == "REPEATED":
        return {"type": "ARRAY", "arrayType": _kind(replace(column, mode="NULLABLE"))}
    kind = type_name(column)
    if kind == "STRUCT":
        fields = [{"name": checked(field.name, "column"), "type": _kind(field)} for field in column.fields]
        return {"type": kind, "structTypes": fields}
    if kind not in _SCALARS:
        raise _Unfit
    return {"type": kind}


def _value(column: Column, value: Any) -> dict[str, Any]:
    if column.mode == "REPEATED":
        single = replace(column, mode="NULLABLE")
        return {"arrayValues": [_value(single, each) for each in value or ()]}
    if type_name(column) == "STRUCT":
        if value is None:
            raise _Unfit
        return {"structValues": {field.name: _value(field, value.get(field.name)) for field in column.fields}}
    if value is None:
        return {"value": None}
    return {"value": str(value).lower() if isinstance(value, bool) else str(value)}
