"""The query of `{table}_current`: the view of a table that has the latest rows of each part."""

from __future__ import annotations

from convergence.adapters.warehouse_checks import current_parts
from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import TableSchema


def current_query(project: str, dataset: str, table: TableSchema, reads: TableSchema) -> str:
    """Return the query of `{table}_current`: per part, the rows of the pipeline that wrote last, unless another one has
    read later. `reads` is the table that notes each pipeline's last read."""
    parts = current_parts(table)
    window = ", ".join(f"kept.{bigquery_name(name)}" for name in parts)
    window = f"OVER (PARTITION BY {window} ORDER BY kept.x_ingested_at DESC, kept.x_pipeline_id)"
    key = ", ".join(f"{{}}.{bigquery_name(name)}" for name in parts)
    key = f"TO_JSON_STRING(STRUCT({key}))"  # NULL counts as a value like any other
    rows, notes = (bigquery_name(project, dataset, each.name) for each in (table, reads))
    return f"""SELECT kept.* FROM {rows} AS kept LEFT JOIN (
  SELECT {key.replace("{}", "note")} AS part, note.x_pipeline_id AS pipeline, note.x_ingested_at AS at
  FROM {notes} AS note
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY {key.replace("{}", "note")} ORDER BY note.x_ingested_at DESC, note.x_pipeline_id
  ) = 1
) AS latest ON latest.part = {key.replace("{}", "kept")}
WHERE TRUE
QUALIFY kept.x_pipeline_id = FIRST_VALUE(kept.x_pipeline_id) {window}
  AND (
    latest.at IS NULL OR latest.pipeline = kept.x_pipeline_id
    OR latest.at < FIRST_VALUE(kept.x_ingested_at) {window}
    OR (latest.at = FIRST_VALUE(kept.x_ingested_at) {window} AND latest.pipeline > kept.x_pipeline_id)
  )"""
