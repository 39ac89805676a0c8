"""An execution's stage for one table: refused once the lease is lost, after the stages of earlier slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convergence.ports.warehouse import Column, Row, RowFile, Stage, StagedFile, TableSchema

if TYPE_CHECKING:
    from convergence.engine.step.lease import Lease


class LeasedStage:
    """This execution's stage for one table, after those that its earlier slices left."""

    def __init__(self, own: Stage, earlier: Sequence[Stage], schema: TableSchema, lease: Lease) -> None:
        self._own = own
        self._earlier = earlier
        self._lease = lease
        self.schema = schema
        self.table = schema.name

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store a batch; refused once the lease is lost."""
        await self._lease.check()
        await self._own.write(part, rows)

    async def write_file(self, part: int, file: RowFile) -> StagedFile:
        """Store the rows of a file; refused once the lease is lost."""
        await self._lease.check()
        return await self._own.write_file(part, file)

    async def file_columns(self, file: RowFile) -> tuple[Column, ...]:
        """Return the columns of a Parquet file."""
        return await self._own.file_columns(file)

    async def flush(self) -> None:
        """Return when what was staged survives a crash."""
        await self._own.flush()

    def all(self) -> list[Stage]:
        """Return the stages of all slices, in order."""
        return [*self._earlier, self._own]
