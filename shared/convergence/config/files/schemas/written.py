"""A table's columns as the text of a schema file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from convergence.ports.column_bounds import DECIMALS
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column


def schema_file(columns: Sequence[Column], description: str = "") -> str:
    """Return the file that describes a table with these columns; lineage is left out, as every table gets it."""
    fields = [_field(column) for column in columns if column.name not in LINEAGE_COLUMNS]
    return json.dumps({"description": description, "fields": fields}, indent=1, ensure_ascii=False) + "\n"


def _field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "type": column.type, "mode": column.mode}
    names = ("precision", "scale") if type_name(column) in DECIMALS else ("maxLength",)
    field |= dict(zip(names, column.bounds, strict=False))
    if column.description:
        field["description"] = column.description
    return field | ({"fields": [_field(inner) for inner in column.fields]} if column.fields else {})
