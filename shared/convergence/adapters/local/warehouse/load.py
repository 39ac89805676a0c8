"""From staged parts to visible rows: one transaction that replaces the slices and records the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from convergence.adapters.googlesql.types import column_type
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.types import duckdb_type, stored_value
from convergence.adapters.local.warehouse import ledger
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.local.warehouse.rows import listed, rows_of_files, staged_columns
from convergence.adapters.local.warehouse.stage import CHUNK, NdjsonStage
from convergence.adapters.local.warehouse.tables import columns_of
from convergence.adapters.warehouse_checks import check_load, noted_reads, read_source
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import Column, Load, LoadResult, TableSchema, WriteMode


def load_slices(job: Job, load: Load, stages: Sequence[NdjsonStage], finished_at: Any) -> LoadResult:
    """Replace the slices by the staged rows in one transaction; see `convergence.ports.warehouse.Load`."""
    check_load(load)
    with job.transaction():
        known = ledger.find(job, load.job_id, load.fingerprint)
        if known is not None:
            return LoadResult(**known, repeated=True)
        source = _source(job, load.table, stages)
        _note_reads(job, load)
        keyed = load.mode in {WriteMode.MERGE, WriteMode.GROUPS}
        removed, loaded = _merge(job, load, source) if keyed else _replace(job, load, source)
        result = LoadResult(rows_loaded=loaded, rows_removed=removed)
        record = {"rows_loaded": loaded, "rows_removed": removed}
        ledger.note(job, load.job_id, record, finished_at, load.fingerprint)
    return result


def _note_reads(job: Job, load: Load) -> None:
    """Note that this pipeline has read these days: of the sources that it names, that it brought rows of, or that it
    has read before. A source without rows is read too."""
    reads = noted_reads(load)
    if reads is None:
        return
    dates, days = _dates(load, "")
    values = _slice(load) | days | {"x_ingested_at": load.lineage.ingested_at}
    by, source = load.table.current_by or (), read_source(load)
    lineage = ("x_org_slug", "x_pipeline_id", "x_credential_id", "x_run_id", "x_ingested_at", "x_pipeline_run_date")
    named, given = "", {}
    if source is not None:
        given = {f"source_{name}": value for name, value in source.items()}
        here = ["$x_org_slug", "$x_pipeline_id", "$x_credential_id", "NULL", "NULL", "unnest(CAST($dates AS DATE[]))"]
        named = " UNION ALL SELECT " + ", ".join([*here, *(f"$source_{name}" for name in by)])
    names = {"reads": duckdb_name(load.dataset, reads.name), "table": duckdb_name(load.dataset, load.table.name)}
    selected = ", ".join(map(duckdb_name, (*lineage, *by)))
    run = {"x_run_id": load.lineage.run_id}
    job.execute(statement("note_reads", **names, columns=selected, named=named, dates=dates), values | run | given)
    job.execute(statement("delete_older_reads", **names, dates=dates), values)


def _source(job: Job, table: TableSchema, stages: Sequence[NdjsonStage]) -> str:
    """Return the query that gives all staged rows, typed; '' when there are none."""
    chunks = [str(path) for stage in stages for path in stage.chunks()]
    loose = [path for stage in stages for path in stage.parts(loose=True)]
    of_files = [str(path) for path in loose if path.suffix == CHUNK]
    rows = [str(path) for path in loose if path.suffix != CHUNK]
    # Parts of files have only the columns that their file had, and a table may get further columns between two parts.
    differ = "true" if of_files or table.inferred else "false"
    chunks += of_files
    queries = [statement("chunk_rows", files=listed(chunks), named=differ)] if chunks else []
    queries += [rows_of_files(table, rows)] if rows else []
    source = " UNION ALL BY NAME ".join(queries)
    absent = _absent(job, table, source) if of_files else ""
    return f"SELECT * FROM ({source}){absent}" if absent else source  # noqa: S608 - our own SQL, names are quoted


def _absent(job: Job, table: TableSchema, source: str) -> str:
    """Return the SQL that adds, as NULL, the columns that none of the staged files had."""
    there = {str(name) for name, *_ in job.execute(f"DESCRIBE {source}").fetchall()}
    absent = [column for column in staged_columns(table) if column.name not in there]
    nulls = ", ".join(f"CAST(NULL AS {duckdb_type(column_type(each))}) AS {duckdb_name(each.name)}" for each in absent)
    return f", (SELECT {nulls})" if nulls else ""


def _replace(job: Job, load: Load, source: str) -> tuple[int, int]:
    words = {"table": duckdb_name(load.dataset, load.table.name)}
    removed = 0
    if load.mode is WriteMode.OVERWRITE:
        dates, values = _dates(load, "")
        removed = _count(job, statement("delete_slice", **words, dates=dates), _slice(load) | values)
    if not source:
        return removed, 0
    select, values = _select(job, load)
    return removed, _count(job, statement("insert", **words, select=select, source=source), values)


def _merge(job: Job, load: Load, source: str) -> tuple[int, int]:
    """Rows with the same key and date are one row, the one staged last; in groups all of them count."""
    if not source:
        return 0, 0
    words = {"table": duckdb_name(load.dataset, load.table.name)}
    select, values = _select(job, load)
    job.execute(statement("staged", select=select, source=source), values)
    keys = [*load.key_fields, *(["x_pipeline_run_date"] if load.dates is not None else [])]
    match = " AND ".join(f"kept.{key} IS NOT DISTINCT FROM staged.{key}" for key in map(duckdb_name, keys))
    dates, values = _dates(load, "kept.")
    removed = _count(job, statement("delete_merged", **words, dates=dates, match=match), _slice(load) | values)
    if load.mode is WriteMode.GROUPS:
        return removed, _count(job, statement("insert_groups", **words), {})
    distinct = ", ".join(map(duckdb_name, keys))
    return removed, _count(job, statement("insert_staged", **words, keys=distinct), {})


def _count(job: Job, sql: str, values: Mapping[str, Any]) -> int:
    row = job.execute(sql, values).fetchone()
    return int(row[0]) if row else 0


def _slice(load: Load) -> dict[str, Any]:
    lineage = load.lineage
    return {
        "x_org_slug": lineage.org_slug,
        "x_pipeline_id": lineage.pipeline_id,
        "x_credential_id": lineage.credential_id,
    }


def _dates(load: Load, table: str) -> tuple[str, dict[str, Any]]:
    if load.dates is None:
        return "", {}
    return f" AND {table}x_pipeline_run_date IN (SELECT unnest(CAST($dates AS DATE[])))", {"dates": list(load.dates)}


def _select(job: Job, load: Load) -> tuple[str, dict[str, Any]]:
    """Return the select list, lineage included, and its parameters. Values keep within the table's own bounds."""
    bounded = {each.name: each for each in columns_of(job, load.dataset, load.table.name) if each.bounds}
    parts = [
        _within(bounded[column.name]) if column.name in bounded else duckdb_name(column.name)
        for column in staged_columns(load.table)
    ]
    lineage = load.lineage
    values: dict[str, Any] = {
        **_slice(load),
        "x_run_id": lineage.run_id,
        "x_ingested_at": lineage.ingested_at,
        "x_ingestion_date": lineage.ingested_at.astimezone(UTC).date(),
    }
    parts += [f"CAST(${name} AS {_type(load, name)}) AS {name}" for name in values]
    date, more = _run_date(load)
    return ", ".join([*parts, f"{date} AS x_pipeline_run_date"]), values | more


def _within(column: Column) -> str:
    name = duckdb_name(column.name)
    return f"{stored_value(name, column.name, type_name(column), column.bounds)} AS {name}"


def _run_date(load: Load) -> tuple[str, dict[str, Any]]:
    if load.date_field is not None and load.dates is not None:
        field = f"CAST({duckdb_name(load.date_field)} AS DATE)"
        inside = f"list_contains(CAST($dates AS DATE[]), {field})"
        return f"CASE WHEN {inside} THEN {field} ELSE error('date outside the load') END", {"dates": list(load.dates)}
    date = load.dates[0] if load.dates else load.lineage.ingested_at.astimezone(UTC).date()
    return "CAST($x_pipeline_run_date AS DATE)", {"x_pipeline_run_date": date}


def _type(load: Load, name: str) -> str:
    return next(duckdb_type(column_type(column)) for column in load.table.columns if column.name == name)
