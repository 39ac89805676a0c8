"""A writing statement whose job is reported as failed: BigQuery may have committed it, and the ledger knows."""

from __future__ import annotations

from typing import Final

import pytest

from convergence.errors import AppliedBefore, StepFailed, Transient
from convergence.ports.warehouse import QueryResult, Scope
from tests.unit.adapters.bigquery_recorder import Recorder, ask

OWNER: Final = Scope(dataset="acme_prod", writable=True)
DELETE: Final = "DELETE FROM usage WHERE TRUE"
LEDGER: Final = "SELECT rows_loaded"  # how the ledger's look-up begins
COLUMNS: Final = [
    ("rows_loaded", "INTEGER"),
    ("rows_removed", "INTEGER"),
    ("finished_at", "TIMESTAMP"),
    ("fingerprint", "STRING"),
    ("commits", "INTEGER"),
    ("own_rows", "INTEGER"),
]
CANCELLED: Final = {"reason": "stopped", "message": "Job execution was cancelled: User requested cancellation"}


def delete(address: str, fingerprint: str = "f1") -> QueryResult:
    return ask(address, DELETE, scope=OWNER, job_id="j1", fingerprint=fingerprint)


def marks(fingerprint: str = "f1") -> dict[str, tuple[list[tuple[str, str]], list[list[str | None]]]]:
    return {LEDGER: (COLUMNS, [["3", "0", "1772323200000000", fingerprint, "0", "0"]])}


def sent_as(recorder: Recorder) -> list[str]:
    """Return the ids of the statement's jobs."""
    return [name for name in recorder.jobs if name.startswith("j1")]


@pytest.mark.parametrize("reason", ["stopped", "backendError", "invalidQuery"])
def test_a_statement_that_was_committed_does_not_run_again(bigquery_server: tuple[Recorder, str], reason: str) -> None:
    recorder, address = bigquery_server
    recorder.errors, recorder.rows = {"j1": {**CANCELLED, "reason": reason}}, marks()
    with pytest.raises((Transient, StepFailed), match="cancel"):
        delete(address)
    assert delete(address) == QueryResult(rows_affected=3, tables=("acme_prod.usage",))
    assert sent_as(recorder) == ["j1"]


def test_a_statement_that_was_not_committed_runs_under_the_next_id(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.errors, recorder.rows = {"j1": CANCELLED}, {LEDGER: (COLUMNS, [])}
    with pytest.raises(Transient):
        delete(address)
    assert delete(address).rows_affected == 1
    assert sent_as(recorder) == ["j1", "j1-1"]


def test_another_statement_is_not_answered_with_what_was_committed(bigquery_server: tuple[Recorder, str]) -> None:
    recorder, address = bigquery_server
    recorder.errors, recorder.rows = {"j1": CANCELLED}, marks()
    with pytest.raises(Transient):
        delete(address)
    with pytest.raises(AppliedBefore):
        delete(address, fingerprint="f2")
    assert sent_as(recorder) == ["j1"]
