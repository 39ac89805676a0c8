"""Columns as fields of BigQuery's API, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.values import sql_type
from convergence.adapters.googlesql.types import described
from convergence.domain.sql_names import checked
from convergence.ports.column_bounds import DECIMALS
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column

if TYPE_CHECKING:
    from google.cloud import bigquery


def schema_field(column: Column) -> bigquery.SchemaField:
    """Return a column as BigQuery's API names it."""
    from google.cloud import bigquery

    mode = "NULLABLE" if column.mode == "REQUIRED" and column.name in LINEAGE_COLUMNS else column.mode
    field = bigquery.SchemaField(
        checked(column.name, "column"),
        column.type,
        mode=mode,  # procedures get their lineage filled
        description=column.description,
        fields=[schema_field(each) for each in column.fields],
    )
    names = ("precision", "scale") if type_name(column) in DECIMALS else ("maxLength",)
    bounds = {name: str(bound) for name, bound in zip(names, column.bounds, strict=False)}
    return bigquery.SchemaField.from_api_repr({**field.to_api_repr(), **bounds}) if bounds else field


def column_of(field: bigquery.SchemaField) -> Column:
    """Return a field as a column with its description."""
    bounds = tuple(each for each in (field.precision, field.scale, field.max_length) if each is not None)
    kind = replace(sql_type(field), bounds=bounds if field.mode != "REPEATED" else ())
    return described(field.name, kind, required=field.mode == "REQUIRED", description=field.description or "")


def nullable(field: bigquery.SchemaField) -> bigquery.SchemaField:
    """Return a REQUIRED field as a NULLABLE one."""
    from google.cloud import bigquery

    return bigquery.SchemaField.from_api_repr({**field.to_api_repr(), "mode": "NULLABLE"})
