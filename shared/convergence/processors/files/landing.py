"""The table that a delivery lands in: one with a schema file, a raw one, or one whose columns come from the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from convergence.config.files.schemas.fields import with_lineage
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Column, TableSchema
from convergence.processors.files.safeguards import DELIVERED_AT, DELIVERY_ID
from convergence.processors.files.settings import FileSettings
from convergence.processors.generic.landing.landing import raw_with_file
from convergence.processors.generic.landing.raw import RECORD, raw_schema
from convergence.processors.generic.landing.settings import LandingTarget
from convergence.processors.generic.target import Target

Way = Literal["file", "raw", "infer"]
# Settings that refer to columns of a schema file, by the way of landing that does not support them.
_RAW: Final = ("constants", "optional_columns", "row_id", "unknown_columns")
_INFER: Final = (*_RAW, "allowed", "date_formats", "extra_digits", "period")


def way_of(target: Target, *, has_file: bool) -> Way:
    """Return how a delivery lands."""
    landing = target.landing if isinstance(target, LandingTarget) else None
    if landing is not None:
        return landing.mode
    return "raw" if isinstance(target, LandingTarget) and not has_file else "file"


def unfitting(options: FileSettings, target: Target, way: Way) -> Iterator[str]:
    """Yield what is wrong with settings that this way of landing cannot honour."""
    for name in {"raw": _RAW, "infer": _INFER, "file": ()}[way]:
        if getattr(options, name) != FileSettings.model_fields[name].get_default(call_default_factory=True):
            yield f"config.{name} needs a schema file of {target.table}: this table has none"
    if way == "infer" and any(len(names) != 1 for names in options.columns.values()):
        yield "config.columns: an inferred column must have one name in the files"
    if way == "raw":
        own = {*target.key_fields, target.date_field, options.period_column}
        for name in ("columns", "allowed", "date_formats"):
            for column in sorted(getattr(options, name).keys() - own):
                yield f"config.{name}: {target.table} lands raw and has no column {column!r}"


def table_for(target: Target, options: FileSettings, context: Context) -> TableSchema | str:
    """Return the raw table of a delivery, or the name of a table that has a schema file.

    Raises `StepFailed` for `schema: {mode: raw}` beside a schema file, and for settings that need one.
    """
    file = context.warehouse.schema(target.table)
    way = way_of(target, has_file=file is not None)
    for problem in unfitting(options, target, way):
        raise StepFailed(problem)
    if way != "raw":
        return target.table
    if file is not None:
        raise StepFailed(raw_with_file(target.table))
    return _raw(target, options)


def _raw(target: Target, options: FileSettings) -> TableSchema:
    """Return the raw table; with periods, each row names its delivery."""
    table = raw_schema(target)
    if not options.period:
        return table
    named = {column.name for column in table.columns}
    more = [
        Column(options.period_column, "DATE", description="The period of the delivery."),
        Column(DELIVERY_ID, "STRING", description="The delivery."),
        Column(DELIVERED_AT, "TIMESTAMP", description="When it was delivered."),
    ]
    own = [column for column in table.columns if column.name in {RECORD, *target.key_fields, target.date_field}]
    return replace(table, columns=with_lineage((*own, *(column for column in more if column.name not in named))))
