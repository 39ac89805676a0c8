"""Find the reason a load was refused: the first row that does not fit, found by reading the staged parts again.

The load itself is one statement and fails as a whole; only then is this slower, exact search worth its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import orjson

from convergence.adapters.googlesql.fitting import misfit
from convergence.adapters.local.warehouse.rows import staged_columns
from convergence.adapters.local.warehouse.stage import CHUNK, NdjsonStage
from convergence.errors import SchemaMismatch
from convergence.ports.column_values import day_of
from convergence.ports.warehouse import Load


def diagnose(load: Load, stages: Sequence[NdjsonStage]) -> SchemaMismatch | None:
    """Return the error with column, row (from 1) and the value; None if every row fits."""
    columns = staged_columns(load.table)
    for number, row in _rows(stages):
        for column in columns:
            problem = misfit(column, row.get(column.name))
            if problem:
                where = f"{load.dataset}.{load.table.name}: row {number}: column {column.name!r}"
                return SchemaMismatch(f"{where} {problem}.")
        outside = _outside(load, row)
        if outside:
            return SchemaMismatch(f"{load.dataset}.{load.table.name}: row {number}: {outside}")
    return None


def _rows(stages: Sequence[NdjsonStage]) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for path in [path for stage in stages for path in stage.parts() if path.suffix != CHUNK]:
        for row in orjson.loads(path.read_bytes()):
            number += 1
            yield number, row


def _outside(load: Load, row: dict[str, Any]) -> str | None:
    if load.date_field is None or load.dates is None:
        return None
    value = row.get(load.date_field)
    if value is None:
        return f"{load.date_field!r} has no value, so the row belongs to no date of this load."
    day = day_of(value)
    if day in load.dates:
        return None
    return f"{load.date_field!r} is {day}, which is not among the dates of this load ({_range(load.dates)})."


def _range(dates: tuple[date, ...]) -> str:
    return str(dates[0]) if len(dates) == 1 else f"{min(dates)} to {max(dates)}"
