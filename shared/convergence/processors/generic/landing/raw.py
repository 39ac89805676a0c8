"""A table of records as received: one JSON column, and a column for each key and for the date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.files.schemas.fields import with_lineage
from convergence.errors import StepFailed
from convergence.ports.warehouse import Column, Row, TableSchema
from convergence.processors.generic.landing.names import column_name
from convergence.processors.generic.target import Target

RECORD: Final = "record"


def raw_schema(target: Target) -> TableSchema:
    """Return the schema: `record` (JSON), the key fields as text, the date field as DATE.

    Raises `StepFailed` for a key that cannot be the name of a column of its own.
    """
    columns = [Column(RECORD, "JSON", "REQUIRED", "The record as it came.")]
    kinds = dict.fromkeys(target.key_fields, "STRING") | ({target.date_field: "DATE"} if target.date_field else {})
    for name, kind in kinds.items():
        if column_name(name, "", {RECORD}) != name:
            raise StepFailed(
                f"destination: the field {name!r} cannot be a column beside {RECORD!r}: rename it with"
                " transform.field_mapping"
            )
        columns.append(Column(name, kind, description=f"The field {name} of the record."))
    return TableSchema(target.table, with_lineage(tuple(columns)), description="Records as they came.")


def raw_row(schema: TableSchema, record: Mapping[str, Any]) -> Row:
    """Return a record's row."""
    keys = {column.name: record[column.name] for column in schema.columns if column.name in record}
    return {**keys, RECORD: record}
