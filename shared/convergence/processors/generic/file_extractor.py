"""`generic.file_extractor`: files that are delivered somewhere into a table, described in YAML alone.

A delivery is loaded as a whole or not at all. Its rows never become Python objects: the warehouse reads each file,
checks every value as text and reports which line does not fit. Only where columns are inferred from the data do records
pass through this process, in batches (`files.inferring`). Nothing is visible until the last file is read. A large
delivery runs in slices: each ends with CONTINUE and a checkpoint, and what was staged until then survives a crash.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.object_store import ObjectStore
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.warehouse import FileFormat, RowFile, WriteMode
from convergence.processors.balance import balanced
from convergence.processors.base import days
from convergence.processors.files.deliveries import Delivery, find_delivery
from convergence.processors.files.inferring import InferredParts, open_inferred
from convergence.processors.files.landing import table_for, unfitting, way_of
from convergence.processors.files.parts import Parts
from convergence.processors.files.progress import Progress, Staged
from convergence.processors.files.safeguards import DELIVERED_AT, DELIVERY_ID, SOURCE_FILE, check_replacement
from convergence.processors.files.settings import FileSettings, Source
from convergence.processors.files.spool import stage_parts
from convergence.processors.generic.api.rows import OTHER_FIELDS
from convergence.processors.generic.landing.landing import raw_with_file
from convergence.processors.generic.landing.settings import LandingTarget
from convergence.processors.generic.target import Target
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.settings import settings

SLICE_S: Final = 60.0  # of work; after the file in progress the step then continues from its checkpoint


class FileExtractor:
    """One place of files."""

    config_model = FileSettings
    source_model = Source
    destination_model = LandingTarget
    resumable = True
    lands_raw = True

    def unfitting(self, blocks: Mapping[str, Any], *, has_file: bool) -> Sequence[str]:
        """Return which settings do not go together, as `ChecksBlocks` requires."""
        options, target = blocks["config"], blocks["destination"]
        way = way_of(target, has_file=has_file)
        wrong = [raw_with_file(target.table)] if way == "raw" and has_file else []
        return [*wrong, *unfitting(options, target, way)]

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load the delivery of each period; the result counts rows and names the deliveries."""
        source = settings(Source, step_config, "source")
        options = settings(FileSettings, step_config)
        return await load_files(source, options, settings(LandingTarget, step_config, "destination"), context)


async def load_files(source: Source, options: FileSettings, target: Target, context: Context) -> Mapping[str, Any]:
    """Load the delivery of each period; the result counts rows and names the deliveries, or holds the checkpoint of a
    slice: a processor that returns it is `resumable`."""
    table_for(target, options, context)  # refuses settings that cannot be combined before anything is read
    secret = await context.secrets.open(options.secret) if options.secret else ""
    store = await context.objects.open(source.place, secret)
    progress, end = Progress.of(context.checkpoint), context.now() + timedelta(seconds=SLICE_S)
    periods = _periods(options, context)
    for number, day in list(enumerate(periods))[progress.periods :]:
        with tempfile.TemporaryDirectory(prefix="convergence-files-") as folder:
            done = await _load_period(source, options, target, store, day, Path(folder), progress, end, context)
        context.progress(rows=progress.rows_read)
        if not done or (number + 1 < len(periods) and context.now() >= end):
            return {"status": CONTINUE, "checkpoint": progress.checkpoint(), "rows_staged": progress.rows_read}
    counted = {"rows_processed": progress.rows, "rows_written": progress.written, "rows_quarantined": progress.bad}
    warnings = [f"{progress.bad} of {progress.rows} rows are set aside in {QUARANTINE}"] if progress.bad else []
    if progress.changes:
        warnings.append(f"{target.table} has new columns: {'; '.join(progress.changes)}")
    return {
        "status": SUCCESS,
        **counted,
        **balanced(
            progress.rows,
            loaded=progress.written,
            quarantined=progress.bad,
            duplicate=progress.rows - progress.bad - progress.written if target.mode is WriteMode.MERGE else 0,
        ),
        "files": progress.files,
        "table": target.table,
        "deliveries": progress.deliveries,
        "schema_changes": progress.changes,
        "warnings": warnings,
    }


async def _load_period(
    source: Source,
    options: FileSettings,
    target: Target,
    store: ObjectStore,
    day: date,
    spool: Path,
    progress: Progress,
    end: datetime,
    context: Context,
) -> bool:
    """Load one delivery, or stage what of it there is time for until `end`: False."""
    delivery = await find_delivery(source, options, store, day, spool)
    staged = progress.staged or Staged(delivery.fingerprint)
    if staged.delivery != delivery.fingerprint:
        raise StepFailed(
            f"{target.table}: another delivery arrived while the files of one were being read ({day:%Y-%m}); nothing"
            " of it was changed: run it again"
        )
    progress.staged = staged
    dates = [day] if options.period else target.slices(context)
    parts = await _parts(options, target, dates, context)
    day_column = _day_column(options, target, parts)
    row_file = replace(_row_file(options, parts, delivery, day, day_column), in_order=target.mode is WriteMode.MERGE)
    if not await stage_parts(
        options, store, delivery, staged, row_file, spool, take=parts.take, over=lambda: context.now() >= end
    ):
        return False
    if dates is not None and target.mode is WriteMode.OVERWRITE:
        at = delivery.at or staged.at or context.now()  # a period without files
        await check_replacement(
            parts.table,
            dates,
            context,
            at=at,
            days=len(staged.days),
            day_column=day_column,
            allow_shrink=options.allow_shrink,
        )
    if staged.bad:
        await parts.keep_bad_rows()
    loaded = await parts.load(dates, None if options.period else target.date_field or None, staged.rows)
    progress.changes = parts.changes()
    progress.finish(f"{day:%Y-%m-%d} {delivery.id}".strip(), staged, loaded.rows_loaded)
    return True


def _periods(options: FileSettings, context: Context) -> list[date]:
    """Return the first day of each period that the run's days are in; without periods, the run's first day."""
    first, last = context.start_date, context.end_date
    if not options.period:
        return [first]
    if options.period == "day":
        return days(first, last)
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [date(month // 12, month % 12 + 1, 1) for month in months]


async def _parts(
    options: FileSettings, target: Target, dates: Sequence[date] | None, context: Context
) -> Parts | InferredParts:
    table = table_for(target, options, context)
    if isinstance(target, LandingTarget) and target.landing is not None and target.landing.mode == "infer":
        return InferredParts(options, target, await open_inferred(options, target, dates, context), context)
    return Parts(context.warehouse.stage(table), target, context)


def _day_column(options: FileSettings, target: Target, parts: Parts | InferredParts) -> str:
    """Return the column whose days measure what a delivery covers: the destination's date, if the table has one."""
    if isinstance(parts, InferredParts):
        return target.date_field
    table = parts.table
    names = {column.name for column in table.columns}
    if options.period and not {DELIVERY_ID, DELIVERED_AT} <= names:
        raise StepFailed(f"{table.name} needs the columns {DELIVERY_ID} (STRING) and {DELIVERED_AT} (TIMESTAMP)")
    if target.date_field and target.date_field not in names:
        raise StepFailed(f"destination.date_field: {table.name} has no column {target.date_field!r}")
    return target.date_field


def _row_file(
    options: FileSettings, parts: Parts | InferredParts, delivery: Delivery, day: date, day_column: str
) -> RowFile:
    table = parts.table
    names = {column.name for column in table.columns}
    if options.unknown_columns == "keep" and OTHER_FIELDS not in names:
        raise StepFailed(f"config.unknown_columns: keep needs the column {OTHER_FIELDS} (STRING) in {table.name}")
    if options.row_id and options.row_id not in names:
        raise StepFailed(f"config.row_id: {table.name} has no column {options.row_id!r} (STRING)")
    at = delivery.at.isoformat() if delivery.at is not None else ""
    facts = {DELIVERY_ID: delivery.id, DELIVERED_AT: at, SOURCE_FILE: ""}  # empty: each file names its own
    constants = {name: day.strftime(text) for name, text in options.constants.items()}
    constants |= {name: text for name, text in facts.items() if name in names}
    own = {OTHER_FIELDS} if options.unknown_columns != "keep" else set()
    free = names if "*" in options.optional_columns else set(options.optional_columns)
    return RowFile(
        path=Path(),
        format=FileFormat.CSV,
        name="",
        columns={name: tuple(candidates) for name, candidates in options.columns.items()},
        constants=constants,
        optional=frozenset(free | own),
        rest=OTHER_FIELDS if options.unknown_columns == "keep" else "",
        drop_rest=options.unknown_columns == "drop",
        whole=parts.whole,
        digest=options.row_id,
        nulls=tuple(options.null_texts),
        formats=options.date_formats,
        allowed={name: tuple(values) for name, values in options.allowed.items()},
        between=_period(options, day),
        outside="skip" if options.late_days else "bad",
        digits=options.extra_digits,
        delimiter=options.delimiter,
        day=day_column,
        bad_rows="set_aside" if options.on_bad_row == "quarantine" else "stop",
        bad_rows_max=options.bad_rows_max,
    )


def _period(options: FileSettings, day: date) -> dict[str, tuple[date, date]]:
    """Return the days that the period's column may have."""
    if not options.period:
        return {}
    last = day if options.period_rows == "start" else options.last_day(day)
    return {options.period_column: (day, last)}


def get_engine() -> FileExtractor:
    """Return the processor."""
    return FileExtractor()
