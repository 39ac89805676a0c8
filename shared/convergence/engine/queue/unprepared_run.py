"""A run of what waits for its turn: it is prepared, with its plan, when the queue admits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.engine.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What makes a run without a caller: its id, and the request that it represents, are derived from it."""

    run_id: str
    request: str  # the same text makes the same run
    trigger: str  # "schedule", "backfill"


def unprepared_run(
    services: Services,
    cause: Cause,
    *,
    org: str,
    pipeline: str,
    credential_id: str,
    parameters: Mapping[str, Any],
    token: str,
    **origin: Any,
) -> Run:
    """Return a run that is not stored yet. `origin` are the fields that say where it comes from, such as schedule_id.

    Raises:
        NotFound: the pipeline.
        ConfigErrors: its file.
    """
    loaded, now = services.catalog.get(pipeline), services.clock.now()
    run = Run(
        run_id=cause.run_id,
        org=org,
        pipeline=loaded.path,
        pipeline_id=loaded.pipeline.pipeline_id,
        provider=loaded.pipeline.provider,
        domain=loaded.pipeline.domain or "",
        digest="",
        request_digest=cause.request,
        trigger=cause.trigger,
        created_at=now,
        deadline_at=now,
        check_at=now,
        credential_id=credential_id,
        parameters=parameters,
        run_once=loaded.pipeline.execution.run_once,
        token=token,
    )
    return changed(run, **origin)
