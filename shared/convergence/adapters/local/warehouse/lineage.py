"""Lineage of rows that SQL wrote: what is missing is filled, what contradicts the run is refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.tables import stored_columns
from convergence.errors import StepFailed
from convergence.ports.warehouse import DAILY_LOGS, LINEAGE_COLUMNS, Lineage


def set_lineage(job: Job, written: Iterable[tuple[str, str]], lineage: Lineage) -> None:
    """Check the rows of this run in each written table that has the lineage columns.

    Rows of the run are those with its x_run_id, and those without any. Those of another org are counted whichever run
    they name: a statement may set that column too.

    Raises:
        StepFailed: a row belongs to another org, or has no x_pipeline_run_date, which can only be derived for logs.
    """
    for dataset, table in sorted(written):
        if not dataset or not set(LINEAGE_COLUMNS) <= set(stored_columns(job, dataset, table)):
            continue
        words = {"table": duckdb_name(dataset, table)}
        run = {"org": lineage.org_slug, "run": lineage.run_id}
        day = lineage.ingested_at.astimezone(UTC).date()
        if table in DAILY_LOGS:
            job.execute(statement("lineage_today", **words), {"run": lineage.run_id, "day": day})
        found = job.execute(statement("lineage_check", **words), run).fetchone()
        foreign, dateless, missing = found or (0, 0, 0)
        if foreign:
            raise StepFailed(
                f"{dataset}.{table}: {foreign} rows have an x_org_slug other than {lineage.org_slug!r}."
                " Nothing was written."
            )
        if dateless:
            raise StepFailed(
                f"{dataset}.{table}: {dateless} rows have no x_pipeline_run_date. Set it to the row's data date:"
                " it decides which rows a later run replaces. Nothing was written."
            )
        if missing:
            values = {"pipeline": lineage.pipeline_id, "credential": lineage.credential_id, "at": lineage.ingested_at}
            job.execute(statement("lineage_fill", **words), {**run, **values, "day": day})
