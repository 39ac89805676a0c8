"""Extract → transform → load: the common part of most processors, so that they only define what differs."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import orjson

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.balance import balanced
from convergence.processors.settings import Destination, table_of


class TableProcessor(ABC):
    """Loads rows from a source into one table. A subclass writes `extract`, and `transform` where rows need it.

    Each batch of `extract` is one part of the stage: memory is bounded by the batch, and nothing is visible until the
    last one is staged. `date_field` names the column with a row's data date; every date of the run is a separate slice,
    so a day without rows is emptied too. `date_field = None` loads a reference table.
    """

    destination_model = Destination
    fixed_table: str = ""  # where a step without a destination loads its rows
    date_field: str | None = None
    key_columns: Sequence[str] = ()  # what distinguishes the rows of a day; with them each row gets a `row_id`
    provider: str = ""  # the provider of the rows, if a table has those of several

    @abstractmethod
    def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield batches of rows."""

    def transform(self, rows: Sequence[Row], step_config: Mapping[str, Any], context: Context) -> Sequence[Row]:  # noqa: ARG002 - offered to subclasses
        """Return the batch in the form of its table; by default unchanged."""
        return rows

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Extract, transform and load; the result counts rows."""
        stage = context.warehouse.stage(table_of(step_config, self.fixed_table))
        rows_read, rows_staged, part = 0, 0, 0
        async for batch in self.extract(step_config, context):
            rows = self.transform(batch, step_config, context)
            if self.key_columns:
                rows = [{**row, "row_id": row_id(row, self.key_columns)} for row in rows]
            await stage.write(part, rows)
            part += 1
            rows_read, rows_staged = rows_read + len(batch), rows_staged + len(rows)
            context.progress(rows=rows_read)
        dates = None if self.date_field is None else days(context.start_date, context.end_date)
        outputs = self.outputs()
        source = {"provider": self.provider} if self.provider else {}
        loaded = await context.warehouse.load(stage, dates=dates, date_field=self.date_field, source=source)
        return {
            "status": SUCCESS,
            "rows_processed": rows_read,
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            **balanced(rows_read, loaded=loaded.rows_loaded, filtered=rows_read - rows_staged),
            **outputs,
            "warnings": [*([] if dates is None else unfinished(dates, context)), *outputs.get("warnings", ())],
        }

    def outputs(self) -> Mapping[str, Any]:
        """Return further named outputs of the step, requested at its end; `warnings` are added to those of the load."""
        return {}


def row_id(row: Row, key_columns: Sequence[str]) -> str:
    """Return 16 hexadecimal digits made of the key: the same row has the same id in every pipeline and every load."""
    key = [None if row.get(name) is None else str(row[name]) for name in key_columns]
    return hashlib.sha256(orjson.dumps(key)).hexdigest()[:16]


def days(first: date, last: date) -> list[date]:
    """Return every day from `first` to `last`, both included."""
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def unfinished(dates: Sequence[date], context: Context) -> list[str]:
    """Warn that days are not over: the provider's figures for them are incomplete (days are UTC)."""
    running = [day.isoformat() for day in dates if day >= context.now().date()]
    if not running:
        return []
    span = " to ".join(sorted({running[0], running[-1]}))
    return [f"{span}: not over yet (UTC), so the figures are partial; run it again afterwards"]
