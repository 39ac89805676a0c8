"""`generic.api_extractor`: any REST API into a table, described in YAML alone.

Pages are staged as they arrive, memory is bounded by a page and a batch. A long extraction runs in slices: each ends
with CONTINUE and a checkpoint, and what was staged until then survives a crash. Rows become visible at once, at the
end, after the balance read = loaded + quarantined + filtered + duplicate is known to close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.warehouse import WriteMode
from convergence.processors.generic.api.connection import connect, service_name
from convergence.processors.generic.api.cursor import read_cursor
from convergence.processors.generic.api.pages import Pages
from convergence.processors.generic.api.progress import Progress
from convergence.processors.generic.api.remainder import remainder
from convergence.processors.generic.api.rows import Shaped
from convergence.processors.generic.api.settings import NUMBERED, ApiDestination, ApiSettings, Transform
from convergence.processors.generic.landing.landing import QUARANTINE, Landing, open_landing, raw_with_file
from convergence.processors.http.paging import Call, LoopGuard
from convergence.processors.settings import settings

SLICE_S: Final = 30.0  # of work; then the step continues from its checkpoint


class ApiExtractor:
    """One listing of one API."""

    config_model = ApiSettings
    destination_model = ApiDestination
    transform_model = Transform
    resumable = True
    lands_raw = True

    def unfitting(self, blocks: Mapping[str, Any], *, has_file: bool) -> Sequence[str]:
        """Return which settings do not go together, as `ChecksBlocks` requires."""
        landing = blocks["destination"].landing
        raw = landing is not None and landing.mode == "raw"
        return [raw_with_file(blocks["destination"].table)] if raw and has_file else []

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Extract; the result holds the balance, or the checkpoint of a slice."""
        options = settings(ApiSettings, step_config)
        target = settings(ApiDestination, step_config, "destination")
        dates = _slices(options, target, context)
        progress = Progress.from_checkpoint(context.checkpoint)
        transform = settings(Transform, step_config, "transform")
        landing = await open_landing(
            target,
            transform,
            context,
            dates=dates,
            filters=options.outside_dates == "filter",
            quarantines=options.on_bad_row == "quarantine",
            unseen=progress.unseen,
            dropped=progress.dropped,
        )
        if context.checkpoint is None:
            progress.since = await read_cursor(options, target, landing, context)
        after = await _extract(options, target, landing, progress, context)
        if after is not None:
            progress.call = after
            return {"status": CONTINUE, "checkpoint": progress.checkpoint(), "rows_staged": progress.staged}
        warnings = [*_unseen(transform, progress), *([progress.remainder] if progress.remainder else [])]
        if progress.quarantined:
            warnings.append(f"{progress.quarantined} of {progress.read} records are set aside in {QUARANTINE}")
        loaded = await _load(target, progress, landing, dates, context)
        changes = landing.changes()
        if changes:
            warnings.append(f"{target.table} has new columns: {'; '.join(changes)}")
        return {**loaded, "schema_changes": changes, "warnings": warnings}


async def _extract(
    options: ApiSettings, target: ApiDestination, landing: Landing, progress: Progress, context: Context
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
    pending: list[Any] = []
    batches: tuple[list[Any], list[Any]] = ([], [])
    parts = [0, 0]
    numbered = paging is not None and paging.type in NUMBERED
    walk = client.walk(call, pages.following, guard=guard)
    async with aclosing(walk):
        async for answer, after in walk:
            records = pages.records(answer)
            progress.count(records, service, numbered=numbered)
            pending += records
            worked_s = (context.now() - started).total_seconds()
            full = progress.staged - staged_before + len(pending) >= target.checkpoint_rows or worked_s >= SLICE_S
            ends = after is None or full
            if ends or len(pending) >= landing.sample:
                _share_out(await landing.shape(pending), batches, progress)
                pending.clear()
            for index, rows in enumerate(batches):
                if rows and (ends or len(rows) >= target.batch_size):
                    await landing.stages[index].write(parts[index], rows)
                    parts[index] += 1
                    rows.clear()
            context.progress(rows=progress.read)
            if after is None and records:
                progress.remainder = remainder(answer, paging, options.data_path)
            if ends:
                progress.short, progress.guard = pages.short, guard.state
                progress.unseen, progress.dropped = sorted(landing.unseen), landing.dropped
                progress.http_calls += client.calls
                progress.http_retries += client.retries
                return after
    raise AssertionError("a walk ends with a page that has no successor")


def _share_out(shaped: Shaped, batches: tuple[list[Any], list[Any]], progress: Progress) -> None:
    progress.filtered += shaped.filtered
    progress.quarantined += len(shaped.bad)
    progress.staged += len(shaped.rows)
    batches[0].extend(shaped.rows)
    batches[1].extend(shaped.bad)


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
    landing: Landing,
    dates: Sequence[date] | None,
    context: Context,
) -> Mapping[str, Any]:
    if progress.quarantined:
        await landing.load_quarantine()
        context.logger.warning("%d rows of %s are in %s", progress.quarantined, target.table, QUARANTINE)
        if progress.quarantined == progress.read:
            raise StepFailed(
                f"none of the {progress.read} records fits {target.table}: they are in {QUARANTINE}, and the stored"
                " rows stay. Has the API changed a field?"
            )
    loaded = await landing.load(dates=dates, staged=progress.staged)
    return {
        "status": SUCCESS,
        "rows_processed": progress.read,
        "rows_written": loaded.rows_loaded,
        "table": target.table,
        **progress.balance(loaded.rows_loaded, merged=target.mode is WriteMode.MERGE),
        "fields_dropped": progress.dropped,
        "pages": progress.pages,
        "since": progress.since,
        "http_calls": progress.http_calls,
        "http_retries": progress.http_retries,
    }


def get_engine() -> ApiExtractor:
    """Return the processor."""
    return ApiExtractor()
