"""Lineage of rows that SQL wrote, in the transaction that writes them: filled where missing, refused where wrong."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Final

from convergence.adapters.gcp.warehouse.tables import Tables
from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import DAILY_LOGS, LINEAGE_COLUMNS, Lineage, Parameter

DECLARED: Final = (
    "DECLARE convergence_rows STRUCT<foreign_rows INT64, dateless_rows INT64, first_date DATE, last_date DATE>;"
    " DECLARE convergence_refused STRING;"
)
# A handler of the author's may have caught the refusal: nothing was committed, and the call still fails.
REFUSED_STAYS: Final = "IF convergence_refused IS NOT NULL THEN RAISE USING MESSAGE = convergence_refused; END IF;"
_OF_RUN: Final = "(x_run_id = @convergence_run OR x_run_id IS NULL)"
_MISSING: Final = " OR ".join(f"{name} IS NULL" for name in LINEAGE_COLUMNS if name != "x_pipeline_run_date")
_DATES: Final = "x_pipeline_run_date BETWEEN convergence_rows.first_date AND convergence_rows.last_date"
_DAY_OF_LOG: Final = (
    ", x_pipeline_run_date = COALESCE(x_pipeline_run_date, @convergence_day)",
    f"({_DATES} OR x_pipeline_run_date IS NULL)",
)


async def with_lineage(tables: Tables, written: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of the written tables that have all lineage columns."""
    found = []
    for dataset, name in sorted(written):
        if dataset and set(LINEAGE_COLUMNS) <= (await tables.columns(dataset, name)).keys():
            found.append((dataset, name))
    return found


def lineage_statements(project: str, tables: Iterable[tuple[str, str]], lineage: Lineage) -> list[str]:
    """Return the statements that check and fill the rows of this run in each table: each ends with one UPDATE.

    Rows of the run are those with its x_run_id, and those without any. Those of another org are counted whichever run
    they name: a statement may set that column too. One look at the narrow columns of all rows finds them, and between
    which dates they are: so the UPDATE changes and pays for the partitions of these only.
    """
    lines: list[str] = []
    for dataset, name in tables:
        table = bigquery_name(project, dataset, name)
        where = f"convergence: {dataset}.{name}: "
        is_log = name in DAILY_LOGS
        foreign = f" rows have an x_org_slug other than '{lineage.org_slug}'. Nothing was written."
        dateless = (
            " rows have no x_pipeline_run_date. Set it to the row's data date:"
            " it decides which rows a later run replaces. Nothing was written."
        )
        refuse_dateless = (
            "IF convergence_rows.dateless_rows > 0 THEN SET convergence_refused ="
            f" CONCAT({_quoted(where)}, CAST(convergence_rows.dateless_rows AS STRING), {_quoted(dateless)}); END IF;"
        )
        day, dates = _DAY_OF_LOG if is_log else ("", _DATES)
        missing = f"{_MISSING} OR x_pipeline_run_date IS NULL" if is_log else _MISSING
        lines += [
            "SET convergence_rows = (SELECT STRUCT("
            "COUNTIF(x_org_slug <> @convergence_org) AS foreign_rows,"
            f" COUNTIF({_OF_RUN} AND x_pipeline_run_date IS NULL) AS dateless_rows,"
            f" MIN(IF({_OF_RUN}, x_pipeline_run_date, NULL)) AS first_date,"
            f" MAX(IF({_OF_RUN}, x_pipeline_run_date, NULL)) AS last_date) FROM {table});",
            "IF convergence_rows.foreign_rows > 0 THEN SET convergence_refused ="
            f" CONCAT({_quoted(where)}, CAST(convergence_rows.foreign_rows AS STRING), {_quoted(foreign)}); END IF;",
            *([] if is_log else [refuse_dateless]),
            REFUSED_STAYS,
            f"UPDATE {table} SET x_run_id = @convergence_run, x_org_slug = @convergence_org,"
            " x_pipeline_id = COALESCE(x_pipeline_id, @convergence_pipeline),"
            " x_credential_id = COALESCE(x_credential_id, @convergence_credential),"
            " x_ingested_at = COALESCE(x_ingested_at, @convergence_at),"
            f" x_ingestion_date = COALESCE(x_ingestion_date, @convergence_day){day}"
            f" WHERE {dates} AND {_OF_RUN} AND ({missing});",
        ]
    return lines


def lineage_parameters(lineage: Lineage) -> dict[str, Parameter]:
    """Return the parameters of `lineage_statements`."""
    return {
        "convergence_run": Parameter("STRING", lineage.run_id),
        "convergence_org": Parameter("STRING", lineage.org_slug),
        "convergence_pipeline": Parameter("STRING", lineage.pipeline_id),
        "convergence_credential": Parameter("STRING", lineage.credential_id),
        "convergence_at": Parameter("TIMESTAMP", lineage.ingested_at),
        "convergence_day": Parameter("DATE", lineage.ingested_at.astimezone(UTC).date()),
    }


def _quoted(text: str) -> str:
    """Return a GoogleSQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"
