"""`generic.api_extractor`: any REST API into a table, described in YAML alone.

Pages are staged as they come, memory is bounded by a page and a batch. A long extraction goes on in slices: each
ends with CONTINUE and a checkpoint, and what was staged until then survives a crash. Rows become visible at once,
at the end, after the balance read = loaded + quarantined + filtered + duplicate is known to close.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any, Final

from convergence.config.sql.values import bind
from convergence.errors import StepFailed
from convergence.ports.processor import CONTINUE, SUCCESS, Context, StepStage
from convergence.ports.warehouse import TableSchema, WriteMode
from convergence.processors.generic.api_connection import connect, service_name
from convergence.processors.generic.api_cursor import read_cursor
from convergence.processors.generic.api_pages import Pages
from convergence.processors.generic.api_progress import Progress
from convergence.processors.generic.api_rows import Shaper
from convergence.processors.generic.api_settings import NUMBERED, ApiDestination, ApiSettings, Transform
from convergence.processors.http.paging import Call, LoopGuard
from convergence.processors.settings import settings

QUARANTINE: Final = "org_meta_quarantine_rows"
SLICE_S: Final = 30.0  # of work; then the step goes on from its checkpoint
_SQL: Final = re.compile(r"'.*'|[A-Za-z_][A-Za-z0-9_.]*\(.*\)", re.DOTALL)  # a quoted literal, a call


class ApiExtractor:
    """One listing of one API."""

    config_model = ApiSettings
    destination_model = ApiDestination
    transform_model = Transform
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Extract; the result holds the balance, or the checkpoint of a slice."""
        options = settings(ApiSettings, step_config)
        target = settings(ApiDestination, step_config, "destination")
        dates = _slices(options, target, context)
        names = [target.table, *([QUARANTINE] if options.on_bad_row == "quarantine" else [])]
        stages = [context.warehouse.stage(name) for name in names]
        progress = Progress.from_checkpoint(context.checkpoint)
        transform = settings(Transform, step_config, "transform")
        shaper = await _shaper(transform, options, target, context, stages[0].schema, dates, progress)
        if context.checkpoint is None:
            progress.since = await read_cursor(options, target, shaper, context)
        after = await _extract(options, target, shaper, progress, stages, context)
        if after is not None:
            progress.call = after
            return {"status": CONTINUE, "checkpoint": progress.checkpoint(), "rows_staged": progress.staged}
        warnings = _unseen(transform, progress)
        if progress.quarantined:
            warnings.append(f"{progress.quarantined} of {progress.read} records are set aside in {QUARANTINE}")
        return {**await _load(target, progress, stages, dates, context), "warnings": warnings}


async def _extract(
    options: ApiSettings,
    target: ApiDestination,
    shaper: Shaper,
    progress: Progress,
    stages: Sequence[StepStage],
    context: Context,
) -> Call | None:
    """Stage pages until the last one (None) or the end of the slice (the call for the next page)."""
    client = await connect(options, context)
    service = service_name(options)
    hidden = options.auth.param if options.auth is not None and options.auth.type == "query" else ""
    pages = Pages(options, service, credential_param=hidden, short=progress.short, read=progress.read)
    call = progress.call or pages.first(progress.since)
    paging = options.pagination
    guard = LoopGuard(progress.guard, pages_max=paging.max_pages if paging is not None else 1)
    started, staged_before = context.now(), progress.staged
    batch: list[Any] = []
    bad: list[Any] = []
    parts = [0, 0]
    numbered = paging is not None and paging.type in NUMBERED
    walk = client.walk(call, pages.following, guard=guard)
    async with aclosing(walk):
        async for answer, after in walk:
            records = pages.records(answer)
            progress.count(records, service, numbered=numbered)
            shaped = shaper.shape(records)
            progress.filtered += shaped.filtered
            progress.quarantined += len(shaped.bad)
            progress.staged += len(shaped.rows)
            batch += shaped.rows
            bad += shaped.bad
            worked_s = (context.now() - started).total_seconds()
            full = progress.staged - staged_before >= target.checkpoint_rows or worked_s >= SLICE_S
            ends = after is None or full
            for index, rows in enumerate((batch, bad)):
                if rows and (ends or len(rows) >= target.batch_size):
                    await stages[index].write(parts[index], rows)
                    parts[index] += 1
                    rows.clear()
            context.progress(rows=progress.read)
            if ends:
                progress.short, progress.guard = pages.short, guard.state
                progress.unseen, progress.dropped = sorted(shaper.unseen), shaper.dropped
                progress.http_calls += client.calls
                progress.http_retries += client.retries
                return after
    raise AssertionError("a walk ends with a page that has no successor")


async def _shaper(
    transform: Transform,
    options: ApiSettings,
    target: ApiDestination,
    context: Context,
    schema: TableSchema,
    dates: Sequence[date] | None,
    progress: Progress,
) -> Shaper:
    quarantine = (
        {"table_name": target.table, "step_id": context.step_id} if options.on_bad_row == "quarantine" else None
    )
    filters = options.outside_dates == "filter" and bool(target.date_field)
    return Shaper(
        schema,
        transform,
        await _added(transform, context),
        quarantine=quarantine,
        days=dates if filters else None,
        date_field=target.date_field if dates is not None else "",
        unseen=progress.unseen,
        dropped=progress.dropped,
    )


def _unseen(transform: Transform, progress: Progress) -> list[str]:
    """Report mapped fields that no record has: a wrong name looks like missing data.

    Raises `StepFailed` where the file asks for that.
    """
    if not progress.unseen or not progress.read:
        return []
    unmatched = f"transform.field_mapping: none of {progress.read} records has {', '.join(map(repr, progress.unseen))}"
    if transform.unseen_fields == "stop":
        raise StepFailed(f"{unmatched}; nothing was loaded")
    return [unmatched]


async def _added(transform: Transform, context: Context) -> dict[str, Any]:
    """Return the values of `add_fields`: SQL is evaluated once, its values travel as query parameters."""
    added: dict[str, Any] = {}
    for name, value in transform.add_fields.items():
        is_sql = isinstance(value, Mapping) or (isinstance(value, str) and _SQL.fullmatch(value) is not None)
        if not is_sql:
            added[name] = value
            continue
        sql, parameters = bind(value)
        (row,) = (await context.warehouse.query(f"SELECT {sql} AS value", parameters)).rows
        added[name] = row["value"]
    return added


def _slices(options: ApiSettings, target: ApiDestination, context: Context) -> list[date] | None:
    """Return the days that are replaced; None when rows are merged or added whatever their day."""
    if options.incremental is not None and target.mode is WriteMode.OVERWRITE:
        raise StepFailed(
            "config.incremental brings only what is new, and write_mode overwrite would remove the rest: set"
            " destination.key_fields (rows are merged) or write_mode: append"
        )
    if options.outside_dates == "filter" and not target.date_field:
        raise StepFailed("config.outside_dates: filter needs destination.date_field, the column with a row's date")
    return target.slices(context)


async def _load(
    target: ApiDestination,
    progress: Progress,
    stages: Sequence[StepStage],
    dates: Sequence[date] | None,
    context: Context,
) -> Mapping[str, Any]:
    stage, *aside = stages
    if progress.quarantined:
        keys = ("table_name", "step_id", "row_digest")
        await context.warehouse.load(aside[0], dates=None, mode=WriteMode.MERGE, key_fields=keys)
        context.logger.warning("%d rows of %s are in %s", progress.quarantined, target.table, QUARANTINE)
        if progress.quarantined == progress.read:
            raise StepFailed(
                f"none of the {progress.read} records fits {target.table}: they are in {QUARANTINE}, and the stored"
                " rows stay. Has the API changed a field?"
            )
    loaded = await context.warehouse.load(
        stage, dates=dates, date_field=target.date_field or None, mode=target.mode, key_fields=target.key_fields
    )
    return {
        "status": SUCCESS,
        "rows_processed": progress.read,
        "rows_written": loaded.rows_loaded,
        "table": target.table,
        "balance": progress.balance(loaded.rows_loaded, merged=target.mode is WriteMode.MERGE),
        "fields_dropped": progress.dropped,
        "pages": progress.pages,
        "since": progress.since,
        "http_calls": progress.http_calls,
        "http_retries": progress.http_retries,
    }


def get_engine() -> ApiExtractor:
    """Return the processor."""
    return ApiExtractor()
