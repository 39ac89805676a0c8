"""Columns as fields of BigQuery's API, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.values import sql_type
from convergence.adapters.googlesql.types import described
from convergence.domain.sql_names import checked
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column

if TYPE_CHECKING:
    from google.cloud import bigquery


def schema_field(column: Column) -> bigquery.SchemaField:
    """Return a column as BigQuery's API names it."""
    from google.cloud import bigquery

    mode = "NULLABLE" if column.mode == "REQUIRED" and column.name in LINEAGE_COLUMNS else column.mode
    return bigquery.SchemaField(
        checked(column.name, "column"),
        column.type,
        mode=mode,  # procedures get their lineage filled
        description=column.description,
        fields=[schema_field(each) for each in column.fields],
    )


def column_of(field: bigquery.SchemaField) -> Column:
    """Return a field as a column with its description."""
    kind = sql_type(field)
    return described(field.name, kind, required=field.mode == "REQUIRED", description=field.description or "")


def nullable(field: bigquery.SchemaField) -> bigquery.SchemaField:
    """Return a REQUIRED field as a NULLABLE one."""
    from google.cloud import bigquery

    return bigquery.SchemaField.from_api_repr({**field.to_api_repr(), "mode": "NULLABLE"})
