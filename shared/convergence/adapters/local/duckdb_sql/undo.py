"""Transactions of a script.

DuckDB has no savepoints, and a failed statement breaks its transaction. So the statements that wrote since the last
commit are kept: to undo some of them, everything is rolled back and those that stay are run again, with the values of
the first time. That costs time only when an error is handled or a ROLLBACK is written. A statement that is run again
makes new random values (GENERATE_UUID, RAND).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from convergence.errors import ConvergenceError, StepFailed

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.translate import Translation
    from convergence.adapters.local.warehouse.job import Job


class Undo:
    """The writes of one call since its last commit, and where the script's own transaction began.

    `complete` is what each commit needs before it, for a script that decides itself what is committed: each of its
    COMMITs is one, and each change outside of its transactions. Without it, all is one transaction of the caller's.
    """

    def __init__(
        self,
        job: Job,
        repeat: Callable[[Translation, Mapping[str, Any]], object],
        complete: Callable[[], None] | None = None,
    ) -> None:
        self._job, self._repeat, self._complete = job, repeat, complete
        self._writes: list[tuple[Translation, dict[str, Any]]] = []
        self._began: int | None = None
        self.broken = False  # a statement failed: DuckDB refuses all others until the rollback

    def wrote(self, translation: Translation, values: Mapping[str, Any]) -> None:
        """Record a statement that changed something; outside a transaction it is committed by itself."""
        self._writes.append((translation, dict(values)))
        permanent = any(dataset for dataset, _ in translation.touched.writes)
        if self._began is None and self._complete is not None and permanent:
            try:
                self._commit()
            except ConvergenceError:
                self._restore(len(self._writes) - 1, None)
                raise

    def begin(self) -> None:
        """BEGIN TRANSACTION. Raises `StepFailed` inside another."""
        if self._began is not None:
            raise StepFailed("BEGIN TRANSACTION inside a transaction: COMMIT or ROLLBACK first.")
        self._began = len(self._writes)

    def commit(self) -> None:
        """COMMIT TRANSACTION. Raises `StepFailed` outside of one."""
        if self._began is None:
            raise StepFailed("COMMIT TRANSACTION without a transaction.")
        self._commit()
        self._began = None

    def _commit(self) -> None:
        if self._complete is not None:
            self._complete()
            self._job.execute("COMMIT")
            self._job.execute("BEGIN TRANSACTION")
            self._writes.clear()

    def rollback(self) -> None:
        """ROLLBACK TRANSACTION. Raises `StepFailed` outside of one."""
        if self._began is None:
            raise StepFailed("ROLLBACK TRANSACTION without a transaction.")
        self._restore(self._began, None)

    def recover(self) -> None:
        """An error was caught: make DuckDB usable again. A transaction that is open stays open, as in BigQuery."""
        if self.broken:
            self._restore(len(self._writes), self._began)

    def _restore(self, kept: int, began: int | None) -> None:
        self._writes = self._writes[:kept]
        self._began, self.broken = began, False
        self._job.execute("ROLLBACK")
        self._job.execute("BEGIN TRANSACTION")
        for translation, values in self._writes:
            self._repeat(translation, values)

    def close(self) -> None:
        """The script ended: a transaction that is still open was never committed, and is dropped."""
        if self._began is not None:
            self._restore(self._began, None)
