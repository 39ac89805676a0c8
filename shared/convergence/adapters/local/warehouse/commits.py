"""The commits of one call: what has to precede each, and what a failure after one of them means."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from datetime import datetime

from convergence.adapters.local.warehouse import ledger
from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.lineage import set_lineage
from convergence.adapters.warehouse_checks import partly_committed
from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.warehouse import ProcedureCall


class Commits:
    """`written` are the tables that the call wrote so far, as (dataset, name). `at` is the time of the call."""

    def __init__(self, job: Job, call: ProcedureCall, at: datetime) -> None:
        self._job, self._call, self._at = job, call, at
        self._count = 0
        self._refused: StepFailed | None = None
        self.written: Set[tuple[str, str]] = frozenset()

    def complete(self) -> None:
        """Complete lineage and mark the job as begun, before a COMMIT of the procedure's own.

        Raises:
            StepFailed: rows contradict the run. The procedure may catch it; the call still fails.
        """
        self._set_lineage()
        self._count += 1
        call = self._call
        ledger.note_commit(self._job, call.job_id, call.procedure, self._count, self._at, call.fingerprint)

    def complete_end(self) -> None:
        """Complete lineage before the last commit. Raises as `complete`."""
        if self._refused is not None:
            raise self._refused
        self._set_lineage()

    def _set_lineage(self) -> None:
        if self._call.scope.lineage is not None:
            try:
                set_lineage(self._job, self.written, self._call.scope.lineage)
            except StepFailed as error:
                self._refused = error
                raise

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report for a failure after a commit that part of the work stays; a repeatable call has simply failed."""
        try:
            yield
        except ConvergenceError as error:
            if not self._count or self._call.repeatable:
                raise
            raise partly_committed(self._call.procedure, self._count, error) from error
