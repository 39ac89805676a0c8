"""Which jobs took effect, with what they answered; and which were revoked before they did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.adapters.warehouse_checks import partly_committed
from convergence.errors import AppliedBefore, LeaseLost
from convergence.ports.warehouse import Effect

_REVOKED: Final = {"revoked": True}
_COMMITS: Final = "commits"  # of a procedure that commits by itself and is not known to have ended


def find(job: Job, job_id: str, fingerprint: str, *, repeatable: bool = False) -> dict[str, Any] | None:
    """Return what a job answered, None when it has not run, or may run again: it is `repeatable` and did not end.

    Raises:
        LeaseLost: it was revoked.
        PartlyCommitted: it is a procedure that failed after a COMMIT of its own.
        AppliedBefore: it took effect with different input.
    """
    known = _read(job, job_id)
    if known is None:
        return None
    answer, effect = known
    if answer.get("revoked"):
        raise LeaseLost(f"job {job_id} was revoked: another owner has taken over its step")
    if effect.partial:
        if repeatable:
            return None
        raise partly_committed(str(answer["procedure"]), answer[_COMMITS])
    if effect.fingerprint != fingerprint:
        raise AppliedBefore(f"job {job_id} took effect on {effect.at:%Y-%m-%d %H:%M} UTC with different input")
    return answer


def note(job: Job, job_id: str, answer: Mapping[str, Any], at: datetime, fingerprint: str) -> None:
    """Store what a job answers, in the transaction of what it writes."""
    values = {"job_id": job_id, "result": orjson.dumps(answer).decode(), "finished_at": at, "fingerprint": fingerprint}
    job.execute(statement("job_done"), values)


def note_commit(job: Job, job_id: str, procedure: str, commits: int, at: datetime, fingerprint: str) -> None:
    """Record that a procedure reached one of its COMMITs, in the transaction that ends there."""
    note(job, job_id, {"procedure": procedure, _COMMITS: commits}, at, fingerprint)


def close(job: Job, job_id: str, at: datetime) -> Effect | None:
    """Return what a job did; revoke it if it has not done anything yet."""
    with job.transaction():
        known = _read(job, job_id)
        if known is None:
            note(job, job_id, _REVOKED, at, "")
            return None
        answer, effect = known
        if effect.partial:  # it ran, and never will again
            note(job, job_id, answer | _REVOKED, effect.at, effect.fingerprint)
    return None if answer == _REVOKED else effect


def _read(job: Job, job_id: str) -> tuple[dict[str, Any], Effect] | None:
    row = job.execute(statement("job"), {"job_id": job_id}).fetchone()
    if row is None:
        return None
    text, at, fingerprint = row
    answer: dict[str, Any] = orjson.loads(text)
    rows = answer.get("rows_loaded", answer.get("rows_affected"))
    return answer, Effect(fingerprint or "", at, rows, partial=_COMMITS in answer)
