"""A stored procedure that tests of several adapters call."""

from __future__ import annotations

from datetime import UTC, datetime

from convergence.config.files.schemas.fields import with_lineage
from convergence.ports.warehouse import Column, Lineage, Routine, Scope, TableSchema

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINEAGE = Lineage(org_slug="acme", pipeline_id="acme-p", credential_id="c1", run_id="r1", ingested_at=NOW)
NOTES = TableSchema("notes", with_lineage((Column("note", "STRING"),)))
SCOPE = Scope(dataset="acme_prod", writable=True, lineage=LINEAGE)


def a_routine(body: str, *, name: str = "sp_fill", arguments: str = "", digest: str = "1") -> Routine:
    text = f"CREATE OR REPLACE PROCEDURE `{{project_id}}.organizations`.{name}({arguments})\nBEGIN\n{body}\nEND;"
    return Routine(name, digest, f"procedures/{name}.sql", text)


INSERT = "INSERT INTO cost (day, cost, x_pipeline_run_date) VALUES (DATE '2026-01-01', 2, DATE '2026-01-01');"
