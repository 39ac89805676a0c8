"""Transactions of a script inside the one transaction of the call.

DuckDB has no savepoints, and a failed statement breaks its transaction. So the statements that wrote are kept: to
undo some of them, everything is rolled back and those that stay are run again, with the values of the first time.
That costs time only when an error is handled or a ROLLBACK is written. A statement that is run again makes new
random values (GENERATE_UUID, RAND).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from convergence.errors import StepFailed

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.translate import Translation
    from convergence.adapters.local.warehouse.job import Job


class Undo:
    """The writes of one call, and where the script's own transaction began."""

    def __init__(self, job: Job, repeat: Callable[[Translation, Mapping[str, Any]], object]) -> None:
        self._job, self._repeat = job, repeat
        self._writes: list[tuple[Translation, dict[str, Any]]] = []
        self._began: int | None = None
        self.broken = False  # a statement failed: DuckDB refuses all others until the rollback

    def wrote(self, translation: Translation, values: Mapping[str, Any]) -> None:
        """Remember a statement that changed something."""
        self._writes.append((translation, dict(values)))

    def begin(self) -> None:
        """BEGIN TRANSACTION. Raises `StepFailed` inside another."""
        if self._began is not None:
            raise StepFailed("BEGIN TRANSACTION inside a transaction: COMMIT or ROLLBACK first.")
        self._began = len(self._writes)

    def commit(self) -> None:
        """COMMIT TRANSACTION. Raises `StepFailed` outside of one."""
        if self._began is None:
            raise StepFailed("COMMIT TRANSACTION without a transaction.")
        self._began = None

    def rollback(self) -> None:
        """ROLLBACK TRANSACTION; harmless when the error that a handler sees has done it already."""
        if self._began is not None:
            self._restore(self._began)

    def recover(self) -> None:
        """An error was caught: undo the open transaction, and make DuckDB usable again."""
        if self._began is not None or self.broken:
            self._restore(self._began)

    def _restore(self, kept: int | None) -> None:
        self._writes = self._writes[:kept]
        self._began, self.broken = None, False
        self._job.execute("ROLLBACK")
        self._job.execute("BEGIN TRANSACTION")
        for translation, values in self._writes:
            self._repeat(translation, values)

    def close(self) -> None:
        """The script ended: a transaction that is still open was never committed, and is dropped."""
        if self._began is not None:
            self._restore(self._began)
