"""Which jobs took effect, with what they answered; and which were revoked before they did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from convergence.adapters.local.warehouse.job import Job
from convergence.adapters.local.warehouse.named_sql import statement
from convergence.errors import AppliedBefore, LeaseLost
from convergence.ports.warehouse import Effect

_REVOKED: Final = {"revoked": True}


def find(job: Job, job_id: str, fingerprint: str) -> dict[str, Any] | None:
    """Return what a job answered, None when it has not run.

    Raises:
        LeaseLost: it was revoked.
        AppliedBefore: it took effect with another input.
    """
    known = _read(job, job_id)
    if known is None:
        return None
    answer, effect = known
    if answer == _REVOKED:
        raise LeaseLost(f"job {job_id} was revoked: the next owner of its step went on")
    if effect.fingerprint != fingerprint:
        raise AppliedBefore(f"job {job_id} took effect on {effect.at:%Y-%m-%d %H:%M} UTC with another input")
    return answer


def note(job: Job, job_id: str, answer: Mapping[str, Any], at: datetime, fingerprint: str) -> None:
    """Keep what a job answers, in the transaction of what it writes."""
    values = {"job_id": job_id, "result": orjson.dumps(answer).decode(), "finished_at": at, "fingerprint": fingerprint}
    job.execute(statement("job_done"), values)


def close(job: Job, job_id: str, at: datetime) -> Effect | None:
    """Return what a job did; revoke it when it did nothing yet."""
    with job.transaction():
        known = _read(job, job_id)
        if known is None:
            note(job, job_id, _REVOKED, at, "")
            return None
    answer, effect = known
    return None if answer == _REVOKED else effect


def _read(job: Job, job_id: str) -> tuple[dict[str, Any], Effect] | None:
    row = job.execute(statement("job"), {"job_id": job_id}).fetchone()
    if row is None:
        return None
    text, at, fingerprint = row
    answer: dict[str, Any] = orjson.loads(text)
    return answer, Effect(fingerprint or "", at, answer.get("rows_loaded", answer.get("rows_affected")))
