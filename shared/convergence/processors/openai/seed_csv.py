"""`openai.seed_csv`: reference data from a CSV below `configs/` → a table that is replaced as a whole."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.settings import Settings, settings, table_of

BATCH: Final = 1000
SHOWN_MAX: Final = 10
_LATEST: Final = "SELECT x_pipeline_id, x_ingested_at FROM {table} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"


class SeedSource(Settings):
    """`file` is relative to `configs/`, for example `openai/seed/model_pricing.csv`."""

    file: str


class SeedSettings(Settings):
    """`keep_refreshed`: a list that another pipeline has loaded later (`genai/prices/…`) stays.

    `include_limits`, `include_usage_limits` of older files: a plan's limits are columns of the list, and always loaded.
    """

    keep_refreshed: bool = False
    include_limits: bool = True
    include_usage_limits: bool = True


class SeedProcessor(TableProcessor):
    """Loads a CSV with a header line; an empty field is NULL. The table's schema decides types."""

    config_model = SeedSettings
    source_model = SeedSource

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load the file, unless a refreshed list stays."""
        if settings(SeedSettings, step_config).keep_refreshed:
            table = table_of(step_config)
            await context.warehouse.ensure_table(table)
            sql = _LATEST.format(table=bigquery_name(table))
            for row in (await context.warehouse.query(sql)).rows:
                if row["x_pipeline_id"] != context.pipeline_id:
                    kept = f"{table}: kept as {row['x_pipeline_id']} loaded it on {row['x_ingested_at']:%Y-%m-%d}"
                    return {"status": SUCCESS, "rows_processed": 0, "rows_written": 0, "table": table, "kept": kept}
        return await super().execute(step_config, context)

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield batches of rows. Raises `StepFailed` that names the bad lines; then nothing is loaded."""
        name = settings(SeedSource, step_config, "source").file
        for batch in batches(context.read_config(name), name):
            yield batch


def batches(data: bytes, name: str) -> Iterator[list[Row]]:
    """Yield the rows of a CSV. Raises `StepFailed` that names the bad lines, counted from 1 with the header."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StepFailed(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
    lines = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(lines, [])
        twice = sorted({column for column in header if header.count(column) > 1 or not column})
        if not header or twice:
            raise StepFailed(f"{name}:1: the header must name every column once (see {twice or 'an empty file'})")
        rows, wrong = _rows(lines, header, name)
    except csv.Error as error:
        raise StepFailed(f"{name}:{lines.line_num}: {error}") from error
    if wrong:
        more = f"; and {len(wrong) - SHOWN_MAX} more" if len(wrong) > SHOWN_MAX else ""
        raise StepFailed("; ".join(wrong[:SHOWN_MAX]) + more)
    if not rows:
        raise StepFailed(f"{name}: no rows below the header; an empty seed would empty the table")
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _rows(lines: Any, header: Sequence[str], name: str) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    wrong: list[str] = []
    for fields in lines:
        if len(fields) != len(header):
            wrong.append(f"{name}:{lines.line_num}: {len(fields)} fields, the header has {len(header)}")
        else:
            rows.append({column: field or None for column, field in zip(header, fields, strict=True)})
    return rows, wrong


def get_engine() -> SeedProcessor:
    """Return the processor."""
    return SeedProcessor()
