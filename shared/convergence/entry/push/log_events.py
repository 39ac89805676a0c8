"""Write events into the log tables; deliveries in progress at the same time share one append.

A delivery is answered when its row is durable. While one append is under way the next rows gather, so a burst of
events costs few requests, and a single event is written at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from convergence.domain.events import COUNTED
from convergence.domain.status import RunStatus
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.log_rows import TABLES, LogRow, log_row
from convergence.engine.services import Services
from convergence.errors import InvalidInput, SchemaMismatch
from convergence.ports.bus import Ack, Answer, Delivery
from convergence.ports.warehouse import SHARED_DATASET

logger = logging.getLogger(__name__)
_Waiting = tuple[LogRow, asyncio.Future[None]]


class LogEvents:
    """A handler of `run-events` and `audit-events`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, delivery: Delivery) -> Answer:
        """Store the event's row. Raises what the warehouse raises; a repeat may appear twice; the views remove it."""
        services = self._services
        try:
            row = log_row(delivery.message.data, services.schemas.get, at=services.clock.now())
        except InvalidInput as error:
            await keep_unreadable(services, delivery, str(error))
            return Ack()
        ended = row.table.name == TABLES["run"] and row.row["why"] != COUNTED
        if ended and row.row["status"] == RunStatus.FAILED:
            logger.warning(
                "run %s of %s failed", row.row["run_id"], row.row["x_org_slug"]
            )  # infra/: an alert counts it
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, durable))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        try:
            await durable
        except SchemaMismatch as error:
            await keep_unreadable(services, delivery, str(error))
        return Ack()

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                tables = {row.table.name for row, _ in batch}
                await asyncio.gather(
                    *(self._append([each for each in batch if each[0].table.name == n]) for n in tables)
                )
        finally:
            self._writing = None

    async def _append(self, batch: Sequence[_Waiting]) -> None:
        rows = [row for row, _ in batch]
        try:
            await self._services.warehouse.append(
                SHARED_DATASET, rows[0].table, [row.row for row in rows], ids=[row.row_id for row in rows]
            )
        except Exception as error:  # noqa: BLE001 - each delivery raises it; the endpoint decides what it means
            if isinstance(error, SchemaMismatch) and len(batch) > 1:
                for each in batch:  # one of them does not fit: it must not stop the others
                    await self._append([each])
                return
            _resolve(batch, error)
        else:
            _resolve(batch, None)


def _resolve(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for _, durable in batch:
        if durable.done():
            continue  # its delivery was cancelled
        if error is None:
            durable.set_result(None)
        else:
            durable.set_exception(error)
