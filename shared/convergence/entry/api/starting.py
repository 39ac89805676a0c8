"""Start a run for a caller, as the run and integration routes do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Body, Header, Query

from convergence.domain.quota import Limits
from convergence.domain.status import RunStatus
from convergence.engine.check_days import check_days
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.store import ANONYMOUS
from convergence.engine.views import runs as views
from convergence.engine.views.models import RunView
from convergence.engine.views.plan import PlanView, plan_view
from convergence.entry.api.json import Json
from convergence.entry.api.models import Accepted
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import Runtime

WAIT_MAX_S: Final = 60.0
_ANONYMOUS_AT_ONCE: Final = 5

Parameters = Annotated[
    dict[str, Any] | None,
    Body(
        description="The pipeline's parameters; `credential_id` names the credential of the whole run.",
        examples=[{"start_date": "2026-11-01", "end_date": "2026-11-07"}],
    ),
]
Seconds = Annotated[float, Query(ge=0, le=WAIT_MAX_S, description="Wait this long for the run to end.")]
Queue = Annotated[bool, Query(description="Over the org's limit, wait in its queue instead of getting a 429.")]
Force = Annotated[bool, Query(description="Also for days in the future, or more than ten years of them.")]
DryRun = Annotated[bool, Query(description="Only report what the run would do.")]
IDEMPOTENCY_KEY: Final = r"^[\x21-\x7e]{1,200}$"
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=IDEMPOTENCY_KEY, description="The same key gives the same run, never a second one."),
]
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": RunView | PlanView, "description": "The run as it ended within `wait`, or the plan of a dry run."},
    202: {"model": Accepted, "description": "Accepted; ask for its status."},
    **documented(404, 409),
}


async def start(
    at: Runtime,
    org: str,
    pipeline: str,
    parameters: Mapping[str, Any] | None,
    *,
    wait_s: float,
    dry_run: bool,
    idempotency_key: str | None,
    created_by: str,
    anonymous: bool = False,
    queue: bool = False,
    force: bool = True,
) -> Json:
    """Dispatch and answer 202; 200 with the whole run when it ended within `wait_s`, or with the plan."""
    given = dict(parameters or {})
    if not force and not dry_run:
        check_days(at.services, pipeline, given)
    request = RunRequest(
        org=org,
        pipeline=pipeline,
        parameters=given,
        credential_id=str(given.get("credential_id") or ""),
        trigger=ANONYMOUS if anonymous else "api",
        created_by=created_by,
        # A header cannot contain the space, so anonymous callers cannot claim an idempotency key of the org in advance.
        idempotency_key=f"{ANONYMOUS} {idempotency_key}" if anonymous and idempotency_key else idempotency_key,
        queue=queue and not anonymous,
        budget=_anonymous_budget(at.settings.ANONYMOUS_RUNS_PER_DAY) if anonymous else None,
    )
    if dry_run:
        return Json(await plan_view(at.services, await prepare(at.services, request)))
    run = await dispatch(at.services, request)
    at.metrics.accepted()
    if wait_s > 0:
        run = await at.wait(org, run.run_id, wait_s)
        if run.terminal:
            return Json(await views.status(at.services, org, run.run_id))
    shown = run.status.value if run.terminal or run.status is RunStatus.QUEUED else "pending"
    return Json({"run_id": run.run_id, "status": shown}, status_code=202)


def _anonymous_budget(per_day: int) -> Limits:
    return Limits(daily=per_day, monthly=31 * per_day, concurrent=_ANONYMOUS_AT_ONCE)
