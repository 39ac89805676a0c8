"""Files on their way into a table, and the rows of them that are set aside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property

from convergence.ports.processor import Context
from convergence.ports.step.warehouse import StepStage
from convergence.ports.warehouse import BadRow, LoadResult, RowFile, StagedFile, TableSchema, WriteMode
from convergence.processors.generic.landing.raw import RECORD
from convergence.processors.generic.target import Target
from convergence.processors.quarantine import TABLE as QUARANTINE


class Parts:
    """Stages files for a table; counts the parts of this execution. Earlier slices have stages of their own."""

    def __init__(self, stage: StepStage, target: Target, context: Context) -> None:
        self._stage, self._target, self._context = stage, target, context
        self._count = 0

    @property
    def table(self) -> TableSchema:
        """The table that the rows are for."""
        return self._stage.schema

    @property
    def whole(self) -> str:
        """The column of whole records; empty in a table with a schema file."""
        raw = self._context.warehouse.schema(self._stage.table) is None
        return RECORD if raw else ""

    async def take(self, name: str, file: RowFile) -> StagedFile:
        """Stage a file, with the reason for each row that is set aside."""
        staged = await self._stage.write_file(self._count, file)
        if staged.bad:
            await self._aside.write(self._count, [self._row(name, bad) for bad in staged.bad])
        self._count += 1
        return staged

    async def load(self, dates: Sequence[date] | None, date_field: str | None, _rows: int) -> LoadResult:
        """Make the staged rows visible, those of earlier slices too."""
        return await self._context.warehouse.load(
            self._stage, dates=dates, date_field=date_field, mode=self._target.mode, key_fields=self._target.key_fields
        )

    def changes(self) -> list[str]:
        """Return the run's changes to the table's columns: none."""
        return []

    async def keep_bad_rows(self) -> None:
        """Make the rows that were set aside visible, each once, those of earlier slices too."""
        await self._context.warehouse.load(
            self._aside, dates=None, mode=WriteMode.MERGE, key_fields=("table_name", "step_id", "row_digest")
        )

    @cached_property
    def _aside(self) -> StepStage:
        return self._context.warehouse.stage(QUARANTINE)

    def _row(self, name: str, bad: BadRow) -> Mapping[str, str]:
        return quarantined(self._stage.table, self._context.step_id, name, bad)


def quarantined(table: str, step_id: str, name: str, bad: BadRow) -> Mapping[str, str]:
    """Return the row of the quarantine for a row of the file `name`."""
    digest = hashlib.blake2b(f"{name}\0{bad.line}\0{bad.content}".encode(), digest_size=16)
    return {
        "table_name": table,
        "step_id": step_id,
        "reason": f"{name}: {bad}",
        "row_digest": digest.hexdigest(),
        "row_json": bad.content,
    }
