"""What Terraform gets from the code: Firestore's indexes, the tables of the log, and the project's own roles.

usage: python -m infra.declared   writes infra/declared.json; a test compares it with what the code declares
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from convergence.adapters.gcp.documents.indexes import index_file
from convergence.adapters.gcp.roles import OWN_ROLES
from convergence.adapters.gcp.warehouse.fields import schema_field
from convergence.config.files.retention import load_retention
from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.log_rows import TABLES
from convergence.engine.services import INDEXES, UNINDEXED
from convergence.ports.warehouse import TableSchema
from infra.project import ROOT

FILE: Final = Path(__file__).with_name("declared.json")


def declared() -> dict[str, Any]:
    """Return `firestore` in the shape of firestore.indexes.json, `tables`, each with its BigQuery schema, and `roles`,
    each with its permissions."""
    schemas = TableSchemas(ROOT / "configs")
    keep_days = load_retention(ROOT / "configs").log_rows.days
    return {
        "firestore": index_file(INDEXES, UNINDEXED),
        "roles": {name: list(permissions) for name, permissions in OWN_ROLES.items()},
        "tables": [_table(schemas.get(name), keep_days) for name in sorted(set(TABLES.values()))],
    }


def _table(table: TableSchema, keep_days: int) -> dict[str, Any]:
    return {
        "name": table.name,
        "description": table.description,
        "partition_by": table.partition_by,
        "keep_days": keep_days,
        "clustering": list(table.cluster_by),
        "schema": [schema_field(column).to_api_repr() for column in table.columns],
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(declared(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
