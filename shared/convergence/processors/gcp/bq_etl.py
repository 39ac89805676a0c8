"""`gcp.bq_etl`: rows of a customer's BigQuery, read under the customer's service account, into a table of the org.

A billing export is read in whole groups (`export_query`) and replaces them whole, late and corrected rows included.
With `source.query` any statement is read, and lineage that it brings must be the run's own. `transform` renames columns
and adds some before the rows are staged. A long query continues as a job in the customer's project and its rows come
page by page: the step answers CONTINUE and resumes at the row that it had reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.errors import StepFailed, StillRunning
from convergence.ports.google_accounts import Reader
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.step.warehouse import StepStage
from convergence.ports.warehouse import Row, WriteMode
from convergence.processors.balance import balanced
from convergence.processors.base import row_id, unfinished
from convergence.processors.gcp.bq_source import EtlSettings, Read, Source, reading
from convergence.processors.gcp.export_query import COLUMNS, GROUP
from convergence.processors.generic.api.rows import Shaper
from convergence.processors.generic.api.settings import Transform
from convergence.processors.generic.bq_execute import without_lineage
from convergence.processors.generic.landing.landing import added_fields
from convergence.processors.generic.target import Target
from convergence.processors.settings import settings

WAIT_S: Final = 60.0  # for the job, at a time; then the step makes room for others
SLICE_S: Final = 30.0  # of copying; then the step continues from its checkpoint
DAYS_MAX: Final = 3_700  # days of usage that one run may rewrite: ten years


@dataclass(slots=True)
class Progress:
    """What a checkpoint holds: the job, how many of its rows are staged, and which days they have."""

    job: str = ""
    rows: int = 0
    days: frozenset[str] = frozenset()

    @classmethod
    def of(cls, checkpoint: Any) -> Progress:
        """Return the progress of a slice; that of the first one when there is no checkpoint."""
        if checkpoint is None:
            return cls()
        return cls(str(checkpoint["job"]), int(checkpoint["rows"]), frozenset(checkpoint["days"]))

    def checkpoint(self) -> dict[str, Any]:
        """Return JSON."""
        return {"job": self.job, "rows": self.rows, "days": sorted(self.days)}


class BigQueryEtl:
    """One statement, one table."""

    config_model = EtlSettings
    source_model = Source
    destination_model = Target
    transform_model = Transform
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Copy; the result counts rows and names the days that were rewritten, or holds the checkpoint of a slice.

        Raises:
            StepFailed: names or parameters are wrong, a limit is passed, or a row is not what was requested.
            CredentialRejected: the service account may not do this.
            Transient: BigQuery is busy.
        """
        options = settings(EtlSettings, step_config)
        target = settings(Target, step_config, "destination")
        read = reading(settings(Source, step_config, "source"), options, target, context)
        secret = await context.secrets.open(options.secret)
        reader = await context.accounts.reader(
            secret, project=read.job_project, location=options.location, url=options.api_base_url
        )
        if options.dry_run:
            return {"status": SUCCESS, "dry_run": True, "bytes_processed": await reader.estimate(read.sql, read.values)}
        progress, stage = Progress.of(context.checkpoint), context.warehouse.stage(target.table)
        shaper = await _shaper(step_config, stage, context)
        if not progress.job:
            progress.job = await reader.begin(read.sql, read.values, bytes_max=options.bytes_max)
        if not await _copied(reader, read, options, progress, stage, shaper, context):
            return {"status": CONTINUE, "checkpoint": progress.checkpoint(), "rows_staged": progress.rows}
        return await _load(read, target, progress, stage, context)


async def _shaper(step_config: Mapping[str, Any], stage: StepStage, context: Context) -> Shaper | None:
    """Return what `transform` does to the rows; None where there is none."""
    if not step_config.get("transform"):
        return None
    transform = settings(Transform, step_config, "transform")
    return Shaper(stage.schema, transform, await added_fields(transform, context))


async def _copied(
    reader: Reader,
    read: Read,
    options: EtlSettings,
    progress: Progress,
    stage: StepStage,
    shaper: Shaper | None,
    context: Context,
) -> bool:
    """Stage pages; False if the job is still running or the slice is over."""
    started, part = context.now(), 0
    pages = reader.result(progress.job, first_row=progress.rows, page_rows=options.page_rows, wait_s=WAIT_S)
    async with aclosing(pages):
        try:
            async for page in pages:
                rows = [_checked(row) if read.grouped else without_lineage(row, context) for row in page]
                if read.grouped:
                    progress.days |= {str(row["usage_date"]) for row in rows}
                await stage.write(part, rows if shaper is None else _shaped(shaper, rows))
                part += 1
                progress.rows += len(rows)
                context.progress(rows=progress.rows)
                if (context.now() - started).total_seconds() >= SLICE_S:
                    return False
        except StillRunning as job:
            context.logger.info("%s; the step will return to it", job)
            return False
    return True


def _shaped(shaper: Shaper, rows: Sequence[Row]) -> Sequence[Row]:
    """Return a page's rows as `transform` says. Raises `StepFailed` for a column that the query does not have."""
    for path in sorted(shaper.unseen) if rows else ():
        if path not in rows[0] and path.partition(".")[0] not in rows[0]:
            raise StepFailed(f"transform.field_mapping: the query has no column {path!r}; it has {', '.join(rows[0])}")
    return shaper.shape(rows).rows


async def _load(
    read: Read, target: Target, progress: Progress, stage: StepStage, context: Context
) -> Mapping[str, Any]:
    result: dict[str, Any] = {"status": SUCCESS, "rows_processed": progress.rows, "table": target.table}
    if not read.grouped:
        loaded = await context.warehouse.load(
            stage,
            dates=read.dates,
            date_field=target.date_field or None,
            mode=target.mode,
            key_fields=target.key_fields,
        )
        merged = progress.rows - loaded.rows_loaded if target.mode is WriteMode.MERGE else 0
        closed = balanced(progress.rows, loaded=loaded.rows_loaded, duplicate=merged)
        return {**result, "rows_written": loaded.rows_loaded, **closed}
    if len(progress.days) > DAYS_MAX:
        raise StepFailed(f"rows of {len(progress.days)} days of usage have changed; run fewer days at a time")
    days = sorted(map(date.fromisoformat, progress.days | {context.start_date.isoformat()}))
    loaded = await context.warehouse.load(
        stage, dates=days, date_field="usage_date", mode=WriteMode.GROUPS, key_fields=GROUP
    )
    return {
        **result,
        "rows_written": loaded.rows_loaded,
        "rows_replaced": loaded.rows_removed,
        **balanced(progress.rows, loaded=loaded.rows_loaded),
        "first_day": days[0].isoformat(),
        "last_day": days[-1].isoformat(),
        "warnings": [*unfinished([context.end_date], context), *_empty(progress, context)],
    }


def _empty(progress: Progress, context: Context) -> Sequence[str]:
    if progress.rows:
        return ()
    return (f"{context.start_date} to {context.end_date}: the export has no rows of these days yet",)


def _checked(row: Row) -> Row:
    """Return a row of the export with its id. Raises `StepFailed` when it is not what the statement asks for."""
    credits_ = row.get("credits")
    sound = set(row) == set(COLUMNS) and isinstance(credits_, list) and isinstance(row["cost"], Decimal)
    if not sound or not all(isinstance(each.get("amount"), Decimal) for each in credits_ or ()):
        raise StepFailed(f"BigQuery: a row does not have the columns of the query; it has {', '.join(map(str, row))}")
    return {**row, "row_id": row_id(row, COLUMNS)}


def get_engine() -> BigQueryEtl:
    """Return the processor."""
    return BigQueryEtl()
