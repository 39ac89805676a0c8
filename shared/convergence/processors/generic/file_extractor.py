"""`generic.file_extractor`: files that are delivered somewhere into a table, described in YAML alone.

A delivery is all of its files or nothing. Its rows never become Python objects: the warehouse reads each file, checks
every value as text and says which line does not fit. Nothing is visible before the last file is read.
"""

from __future__ import annotations

import hashlib
import tempfile
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from convergence.errors import StepFailed
from convergence.ports.object_store import ObjectStore
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import FileFormat, RowFile, TableSchema, WriteMode
from convergence.processors.files.deliveries import Delivery, find_delivery
from convergence.processors.files.safeguards import DELIVERED_AT, DELIVERY_ID, SOURCE_FILE, check_replacement
from convergence.processors.files.settings import FileSettings, Source
from convergence.processors.files.spool import Staged, stage_parts
from convergence.processors.generic.api_rows import OTHER_FIELDS
from convergence.processors.generic.target import Target
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.settings import settings


class FileExtractor:
    """One place of files."""

    config_model = FileSettings
    source_model = Source
    destination_model = Target

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load the delivery of each period; the result counts rows and names the deliveries."""
        source = settings(Source, step_config, "source")
        options = settings(FileSettings, step_config)
        return await load_files(source, options, settings(Target, step_config, "destination"), context)


async def load_files(source: Source, options: FileSettings, target: Target, context: Context) -> Mapping[str, Any]:
    """Load the delivery of each period; the result counts rows and names the deliveries."""
    secret = await context.secrets.open(options.secret) if options.secret else ""
    store = await context.objects.open(source.place, secret)
    counted = {"rows_processed": 0, "rows_written": 0, "rows_quarantined": 0, "files": 0}
    deliveries: list[str] = []
    for day in _periods(options, context):
        with tempfile.TemporaryDirectory(prefix="convergence-files-") as folder:
            delivery, figures = await _load_period(source, options, target, store, day, Path(folder), context)
        deliveries.append(delivery)
        counted = {name: count + figures[name] for name, count in counted.items()}
        context.progress(rows=counted["rows_processed"])
    bad = counted["rows_quarantined"]
    warnings = [f"{bad} of {counted['rows_processed']} rows are set aside in {QUARANTINE}"] if bad else []
    return {"status": SUCCESS, **counted, "table": target.table, "deliveries": deliveries, "warnings": warnings}


async def _load_period(
    source: Source, options: FileSettings, target: Target, store: ObjectStore, day: date, spool: Path, context: Context
) -> tuple[str, dict[str, int]]:
    """Load one delivery; return what identifies it, and its figures."""
    delivery = await find_delivery(source, options, store, day, spool)
    stage = context.warehouse.stage(target.table)
    dates = [day] if options.period else target.slices(context)
    day_column = _day_column(options, target, stage.schema)
    row_file = _row_file(options, stage.schema, delivery, day, day_column)
    staged = await stage_parts(options, store, delivery, stage, row_file, spool)
    if dates is not None and target.mode is WriteMode.OVERWRITE:
        await check_replacement(
            stage.schema,
            dates,
            context,
            at=delivery.at or staged.at,
            days=len(staged.days),
            day_column=day_column,
            allow_shrink=options.allow_shrink,
        )
    await _quarantine(target.table, staged, context)
    loaded = await context.warehouse.load(
        stage,
        dates=dates,
        date_field=None if options.period else target.date_field or None,
        mode=target.mode,
        key_fields=target.key_fields,
    )
    bad = len(staged.bad)
    figures = {
        "rows_processed": staged.rows + bad,
        "rows_written": loaded.rows_loaded,
        "rows_quarantined": bad,
        "files": len(staged.parts),
    }
    return f"{day:%Y-%m-%d} {delivery.id}".strip(), figures


def _periods(options: FileSettings, context: Context) -> list[date]:
    """Return the first day of each month that the run's days are in; without periods, the run's first day."""
    first, last = context.start_date, context.end_date
    if not options.period:
        return [first]
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [date(month // 12, month % 12 + 1, 1) for month in months]


def _day_column(options: FileSettings, target: Target, table: TableSchema) -> str:
    """Return the column whose days say how much a delivery covers: the destination's date, if the table has one."""
    names = {column.name for column in table.columns}
    if options.period and not {DELIVERY_ID, DELIVERED_AT} <= names:
        raise StepFailed(f"{table.name} needs the columns {DELIVERY_ID} (STRING) and {DELIVERED_AT} (TIMESTAMP)")
    if target.date_field and target.date_field not in names:
        raise StepFailed(f"destination.date_field: {table.name} has no column {target.date_field!r}")
    return target.date_field


def _row_file(options: FileSettings, table: TableSchema, delivery: Delivery, day: date, day_column: str) -> RowFile:
    names = {column.name for column in table.columns}
    if options.unknown_columns == "keep" and OTHER_FIELDS not in names:
        raise StepFailed(f"config.unknown_columns: keep needs the column {OTHER_FIELDS} (STRING) in {table.name}")
    at = delivery.at.isoformat() if delivery.at is not None else ""
    facts = {DELIVERY_ID: delivery.id, DELIVERED_AT: at, SOURCE_FILE: ""}  # empty: each file says it
    constants = {name: day.strftime(text) for name, text in options.constants.items()}
    constants |= {name: text for name, text in facts.items() if name in names}
    own = {OTHER_FIELDS} if options.unknown_columns != "keep" else set()
    free = names if "*" in options.optional_columns else set(options.optional_columns)
    return RowFile(
        path=Path(),
        format=FileFormat.CSV,
        name="",
        columns={name: tuple(wanted) for name, wanted in options.columns.items()},
        constants=constants,
        optional=frozenset(free | own),
        rest=OTHER_FIELDS if options.unknown_columns == "keep" else "",
        drop_rest=options.unknown_columns == "drop",
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
    last = day if options.period_rows == "start" else day.replace(day=monthrange(day.year, day.month)[1])
    return {options.period_column: (day, last)}


async def _quarantine(table: str, staged: Staged, context: Context) -> None:
    """Keep the rows that were set aside, each once, with the reason."""
    if not staged.bad:
        return
    stage = context.warehouse.stage(QUARANTINE)
    rows: Sequence[Mapping[str, str]] = [
        {
            "table_name": table,
            "step_id": context.step_id,
            "reason": f"{name}: {bad}",
            "row_digest": hashlib.blake2b(f"{name}\0{bad.line}\0{bad.content}".encode(), digest_size=16).hexdigest(),
            "row_json": bad.content,
        }
        for name, bad in staged.bad
    ]
    await stage.write(0, rows)
    await context.warehouse.load(
        stage, dates=None, mode=WriteMode.MERGE, key_fields=("table_name", "step_id", "row_digest")
    )


def get_engine() -> FileExtractor:
    """Return the processor."""
    return FileExtractor()
