"""The start of an incremental extraction: after the last row that was loaded.

The cursor is read from the loaded rows themselves. So it advances in the commit that makes them visible, and there is
no second copy that could differ.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, WriteMode
from convergence.processors.generic.api.settings import ApiDestination, ApiSettings
from convergence.processors.generic.landing.landing import Landing


async def read_cursor(options: ApiSettings, target: ApiDestination, landing: Landing, context: Context) -> str | None:
    """Return the value to begin with; `initial` (None when empty) before the first load.

    Raises `StepFailed` when the cursor's field has no column, or when an overlap would add rows twice.
    """
    incremental = options.incremental
    if incremental is None:
        return None
    if incremental.overlap and target.mode is WriteMode.APPEND:
        raise StepFailed("incremental.overlap loads rows again: set destination.key_fields, so that they are merged")
    initial = str(incremental.initial) if incremental.initial != "" else None
    column = await landing.cursor_column(incremental.cursor_path)
    if column is None:
        return initial
    sql = (
        f"SELECT MAX({bigquery_name(column)}) AS cursor_value FROM {bigquery_name(target.table)}"  # noqa: S608 - names out of a schema file
        " WHERE x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id"
    )
    parameters = {
        "pipeline_id": Parameter("STRING", context.pipeline_id),
        "credential_id": Parameter("STRING", context.credential_id),
    }
    (row,) = (await context.warehouse.query(sql, parameters)).rows
    if row["cursor_value"] is None:
        return initial
    return step_back(row["cursor_value"], incremental.overlap)


def step_back(value: Any, overlap: Decimal) -> str:
    """Return the cursor less its overlap, as text: days of a date, seconds of a time, else a number.

    Raises `StepFailed` for an overlap of a string.
    """
    if isinstance(value, datetime):
        moment = value - timedelta(seconds=float(overlap))
        if moment.tzinfo is None:
            return moment.isoformat()
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return (value - timedelta(days=int(overlap))).isoformat()
    if isinstance(value, int | Decimal):
        return f"{value - overlap:f}"
    if overlap:
        raise StepFailed(
            f"incremental.overlap: the cursor is a {type(value).__name__}; only dates and numbers can overlap"
        )
    return str(value)
