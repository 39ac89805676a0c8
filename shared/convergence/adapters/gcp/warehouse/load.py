"""From staged rows to visible ones.

Rows that replace others are loaded by one MERGE: BigQuery queues it behind others on the same partitions, where it
cancels one of two transactions on the same table. Its job id proves that it happened, and sent again it leaves the same
rows. Rows that are added to others would be there twice, so their INSERT is in a transaction with a row of the ledger
(docs/adr/0014-a-load-is-one-merge.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date
from typing import Any

from convergence.adapters.gcp.warehouse.jobs import Ended, JobOptions, Jobs, fingerprint_of
from convergence.adapters.gcp.warehouse.ledger import Ledger, refuse_other
from convergence.adapters.gcp.warehouse.sources import STAGE, Source, sources_of, union
from convergence.adapters.gcp.warehouse.stage import PART, PLACE, BigQueryStage, needs_parsing
from convergence.adapters.gcp.warehouse.values import query_parameters
from convergence.adapters.googlesql.types import column_type
from convergence.adapters.warehouse_checks import noted_reads, read_source
from convergence.domain.sql_names import bigquery_name, checked
from convergence.errors import LeaseLost, SchemaMismatch, StepFailed
from convergence.ports.warehouse import LINEAGE_COLUMNS, Load, LoadResult, WriteMode

_NUMBER, _ADDED = "x_number", "x_added"


class Loads:
    """Runs loads."""

    def __init__(self, jobs: Jobs, ledger: Ledger, options: JobOptions) -> None:
        self._jobs, self._ledger, self._options = jobs, ledger, options

    async def load(self, load: Load, stages: Sequence[BigQueryStage]) -> LoadResult:
        """Replace the slices by the staged rows; the table exists. Few rows are sent with the statement.

        The job's id decides who loads. A job that failed changed nothing, unless the ledger has it.
        """
        from google.cloud import bigquery

        sources = await sources_of(stages)
        options = await self._options.of(load.lineage, fingerprint=load.fingerprint)
        parameters = _parameters(load) + [each.parameter for each in sources if each.parameter is not None]
        if load.mode is WriteMode.APPEND:
            await self._ledger.ensure(load.dataset)
            parameters += query_parameters(self._ledger.parameters(load.job_id, load.fingerprint))
        config = bigquery.QueryJobConfig(query_parameters=parameters, **options.config)
        what = f"the load of {load.dataset}.{load.table.name}"

        async def committed() -> bool:
            return await self._ledger.find(load.dataset, load.job_id) is not None

        try:
            ended = await self._jobs.query(
                load.job_id, self._sql(load, sources), config, what=what, project=options.project, committed=committed
            )
        except LeaseLost:
            known = await self._ledger.taken(load.dataset, load.job_id, load.fingerprint)
            return LoadResult(known.loaded, known.removed, repeated=True)
        except StepFailed:
            await self._refuse_dates(load, sources)
            raise
        if ended.repeated:
            found = await self._ledger.find(load.dataset, load.job_id)
            if found is not None:
                refuse_other(load.job_id, found.fingerprint, load.fingerprint)
                return LoadResult(found.loaded, found.removed, repeated=True)
            refuse_other(load.job_id, fingerprint_of(ended.job), load.fingerprint)
        await self._note_reads(load, ended)
        return await self._result(load, ended)

    async def _note_reads(self, load: Load, ended: Ended) -> None:
        """Note which days were read, even if the load had happened before: its process may have died in between."""
        from google.cloud import bigquery

        table = noted_reads(load)
        if table is None:
            return
        reads, target = (
            bigquery_name(self._jobs.client.project, checked(load.dataset), checked(name))
            for name in (table.name, load.table.name)
        )
        at = ended.job.created if ended.repeated else load.lineage.ingested_at  # not later than it happened
        noted = replace(load, lineage=replace(load.lineage, ingested_at=at))
        options = await self._options.of(load.lineage)
        config = bigquery.QueryJobConfig(query_parameters=_parameters(noted), **options.config)
        name = self._jobs.client.ids.new("reads")
        what = f"the note of a read of {load.dataset}.{load.table.name}"
        await self._jobs.query(name, _noting(load, reads, target), config, what=what, project=options.project)

    async def _result(self, load: Load, ended: Ended) -> LoadResult:
        if load.mode is WriteMode.APPEND:
            _, [(loaded,)] = await self._jobs.rows(ended.job)
            return LoadResult(rows_loaded=loaded, rows_removed=0, repeated=ended.repeated)
        found = ended.job.dml_stats  # None where nothing changed
        loaded, removed = (found.inserted_row_count, found.deleted_row_count) if found is not None else (0, 0)
        return LoadResult(rows_loaded=loaded, rows_removed=removed, repeated=ended.repeated)

    def _sql(self, load: Load, sources: Sequence[Source]) -> str:
        target = bigquery_name(self._jobs.client.project, checked(load.dataset), checked(load.table.name))
        if load.mode is WriteMode.APPEND:
            return self._append(load, sources, target)
        if load.mode in {WriteMode.MERGE, WriteMode.GROUPS}:
            return _merge(load, sources, target) if sources else f"DELETE FROM {target} WHERE FALSE"
        return _overwrite(load, sources, target) if sources else f"DELETE FROM {target} AS kept WHERE {_slice(load)}"

    def _append(self, load: Load, sources: Sequence[Source], target: str) -> str:
        lines = ["DECLARE loaded INT64 DEFAULT 0;", "BEGIN TRANSACTION;"]
        if sources:
            insert = f"INSERT INTO {target} ({_names(load)})\nSELECT {_names(load)} FROM ({_select(load, sources)});"
            lines += [insert, "SET loaded = @@row_count;"]
        mark = self._ledger.insert(load.dataset, "0", "loaded")
        return "\n".join([*lines, mark, "COMMIT TRANSACTION;", "SELECT loaded;"])

    async def _refuse_dates(self, load: Load, sources: Sequence[Source]) -> None:
        """Raise `SchemaMismatch` for the first row that belongs to no date of the load, if that was the reason."""
        from google.cloud import bigquery

        if load.date_field is None or load.dates is None or not sources:
            return
        field = f"DATE({bigquery_name(load.date_field)})"
        sql = f"""SELECT number, day FROM (
  SELECT ROW_NUMBER() OVER (ORDER BY {STAGE}, {PART}, {PLACE}) AS number, {field} AS day FROM ({union(sources)})
) WHERE day IS NULL OR day NOT IN UNNEST(@dates) ORDER BY number LIMIT 1"""
        parameters: list[Any] = [bigquery.ArrayQueryParameter("dates", "DATE", list(load.dates))]
        parameters += [each.parameter for each in sources if each.parameter is not None]
        config = bigquery.QueryJobConfig(query_parameters=parameters, **self._options.plain())
        ended = await self._jobs.query(self._jobs.client.ids.new("look"), sql, config, what="looking for a wrong date")
        _, rows = await self._jobs.rows(ended.job)
        for number, day in rows:
            where = f"{load.dataset}.{load.table.name}: row {number}: {load.date_field!r}"
            if day is None:
                raise SchemaMismatch(f"{where} has no value, so the row belongs to no date of this load.")
            raise SchemaMismatch(f"{where} is {day}, which is not among the dates of this load ({_range(load.dates)}).")


def _noting(load: Load, reads: str, target: str) -> str:
    """Note that this pipeline has read these days: of the sources that it names, that it brought rows of, or that it
    has read before. A source without rows is read too."""
    by = [bigquery_name(name) for name in load.table.current_by or ()]
    found = [f"SELECT {', '.join(['kept.x_pipeline_run_date', *by])} FROM {target} AS kept WHERE {_slice(load)}"]
    if (source := read_source(load)) is not None:
        given = "".join(f", @source_{name}" for name in source)
        found.append(f"SELECT day{given} FROM UNNEST(@dates) AS day")
    same = "".join(f" AND kept.{name} IS NOT DISTINCT FROM found.{name}" for name in by)
    values = {name: f"@{name}" for name in LINEAGE_COLUMNS if name != "x_pipeline_run_date"}
    values |= {name: f"found.{name}" for name in ("x_pipeline_run_date", *by)}
    later = "kept.x_ingested_at < @x_ingested_at THEN UPDATE SET x_run_id = @x_run_id, x_ingested_at = @x_ingested_at"
    return (
        f"MERGE INTO {reads} AS kept\nUSING (SELECT DISTINCT * FROM ({' UNION ALL '.join(found)})) AS found\n"
        f"ON {_slice(load)} AND kept.x_pipeline_run_date = found.x_pipeline_run_date{same}\n"
        f"WHEN MATCHED AND {later}\n"
        f"WHEN NOT MATCHED BY SOURCE AND {_slice(load)} AND {later}\n"
        f"WHEN NOT MATCHED BY TARGET THEN INSERT ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    )


def merge_keys(load: Load) -> list[str]:
    """Return the columns that make two rows one: the key fields, and the date of the slice where there are dates."""
    return [*load.key_fields, *(["x_pipeline_run_date"] if load.dates is not None else [])]


def _overwrite(load: Load, sources: Sequence[Source], target: str) -> str:
    """Nothing matches, so all rows of the slice go and all staged rows come; only the slice's partitions are read."""
    return (
        f"MERGE INTO {target} AS kept\n"
        f"USING (SELECT {_names(load)} FROM ({_select(load, sources)})) AS staged\nON FALSE\n"
        f"WHEN NOT MATCHED BY SOURCE AND {_slice(load)} THEN DELETE\n"
        f"WHEN NOT MATCHED BY TARGET THEN {_insert(load)}"
    )


def _merge(load: Load, sources: Sequence[Source], target: str) -> str:
    """A staged row of each key comes to match the rows of its key, which go; those that are inserted come again."""
    names = ", ".join(f"kept.{bigquery_name(name)}" for name in merge_keys(load))
    key = f"TO_JSON_STRING(STRUCT({names}))"  # NULL is a key like any other
    return (
        f"MERGE INTO {target} AS kept\n"
        f"USING ({_twice(load, sources)}) AS staged\n"
        f"ON NOT staged.{_ADDED} AND {_slice(load)} AND {key} = {key.replace('kept.', 'staged.')}\n"
        "WHEN MATCHED THEN DELETE\n"
        f"WHEN NOT MATCHED BY TARGET AND staged.{_ADDED} THEN {_insert(load)}"
    )


def _twice(load: Load, sources: Sequence[Source]) -> str:
    """Rows to match are one for each key, because a row is deleted once; in groups all staged rows are inserted."""
    latest = _latest(load, sources)
    if load.mode is WriteMode.MERGE:
        return f"SELECT {_names(load)}, {_ADDED} FROM ({latest}) CROSS JOIN UNNEST([TRUE, FALSE]) AS {_ADDED}"
    return (
        f"SELECT {_names(load)}, TRUE AS {_ADDED} FROM ({_select(load, sources)})"
        f" UNION ALL SELECT {_names(load)}, FALSE FROM ({latest})"
    )


def _slice(load: Load) -> str:
    """Return the condition of the rows that a load replaces. Its first and last date let BigQuery skip partitions."""
    whose = " AND ".join(f"kept.{name} = @{name}" for name in ("x_org_slug", "x_pipeline_id", "x_credential_id"))
    if load.dates is None:
        return whose
    day = "kept.x_pipeline_run_date"
    return f"{day} BETWEEN @first_date AND @last_date AND {day} IN UNNEST(@dates) AND {whose}"


def _insert(load: Load) -> str:
    values = ", ".join(f"staged.{bigquery_name(column.name)}" for column in load.table.columns)
    return f"INSERT ({_names(load)}) VALUES ({values})"


def _names(load: Load) -> str:
    return ", ".join(bigquery_name(column.name) for column in load.table.columns)


def _latest(load: Load, sources: Sequence[Source]) -> str:
    """Rows with the same key and date are one row: the one staged last."""
    keys = ", ".join(map(bigquery_name, merge_keys(load)))
    order = f"{STAGE} DESC, {PART} DESC, {PLACE} DESC"
    return (
        f"SELECT * EXCEPT ({_NUMBER}) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order})"
        f" AS {_NUMBER} FROM ({_select(load, sources)})) WHERE {_NUMBER} = 1"
    )


def _select(load: Load, sources: Sequence[Source]) -> str:
    """Return the query of all staged rows with their lineage."""
    parts = [STAGE, PART, PLACE]
    for column in load.table.columns:
        if column.name not in LINEAGE_COLUMNS:
            parse = needs_parsing(column_type(column)) and column.mode != "REPEATED"
            name = bigquery_name(column.name)
            parts.append(f"PARSE_JSON({name}) AS {name}" if parse else name)
    parts += [f"@{name} AS {name}" for name in LINEAGE_COLUMNS if name != "x_pipeline_run_date"]
    if load.date_field is not None and load.dates is not None:
        day = f"DATE({bigquery_name(load.date_field)})"
        date_ = f"IF({day} IN UNNEST(@dates), {day}, ERROR('a date outside of the load'))"
    else:
        date_ = "@x_pipeline_run_date"
    return f"SELECT {', '.join([*parts, f'{date_} AS x_pipeline_run_date'])} FROM ({union(sources)})"


def _parameters(load: Load) -> list[Any]:
    from google.cloud import bigquery

    lineage = load.lineage
    day = load.lineage.ingested_at.astimezone(UTC).date()
    scalars: list[tuple[str, str, Any]] = [
        ("x_org_slug", "STRING", lineage.org_slug),
        ("x_pipeline_id", "STRING", lineage.pipeline_id),
        ("x_credential_id", "STRING", lineage.credential_id),
        ("x_pipeline_run_date", "DATE", load.dates[0] if load.dates else day),
        ("x_run_id", "STRING", lineage.run_id),
        ("x_ingested_at", "TIMESTAMP", lineage.ingested_at),
        ("x_ingestion_date", "DATE", day),
        ("first_date", "DATE", min(load.dates, default=None) if load.dates is not None else None),
        ("last_date", "DATE", max(load.dates, default=None) if load.dates is not None else None),
    ]
    scalars += [(f"source_{name}", "STRING", value) for name, value in (read_source(load) or {}).items()]
    found: list[Any] = [bigquery.ScalarQueryParameter(*each) for each in scalars]
    return [*found, bigquery.ArrayQueryParameter("dates", "DATE", list(load.dates or ()))]


def _range(dates: tuple[date, ...]) -> str:
    return str(dates[0]) if len(dates) == 1 else f"{min(dates)} to {max(dates)}"
