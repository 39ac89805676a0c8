"""Start a run for a caller: what the run and the integration routes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Body, Header, Query

from convergence.engine import views
from convergence.engine.dispatch import RunRequest, dispatch, prepare
from convergence.engine.plan_view import PlanView, plan_view
from convergence.engine.view_models import RunView
from convergence.entry.api.json import Json
from convergence.entry.api.models import Accepted
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import Runtime
from convergence.errors import RateLimited

WAIT_MAX_S: Final = 60.0

Parameters = Annotated[
    dict[str, Any] | None,
    Body(
        description="The pipeline's parameters; `credential_id` names the credential of the whole run.",
        examples=[{"start_date": "2026-11-01", "end_date": "2026-11-07"}],
    ),
]
Seconds = Annotated[float, Query(ge=0, le=WAIT_MAX_S, description="Wait so long for the end of the run.")]
DryRun = Annotated[bool, Query(description="Only say what the run would do.")]
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
) -> Json:
    """Dispatch and answer 202; 200 with the whole run when it ended within `wait_s`, or with the plan."""
    given = dict(parameters or {})
    request = RunRequest(
        org=org,
        pipeline=pipeline,
        parameters=given,
        credential_id=str(given.get("credential_id") or ""),
        trigger="api",
        idempotency_key=idempotency_key,
    )
    if dry_run:
        return Json(await plan_view(at.services, await prepare(at.services, request)))
    _limit(at, org, pipeline)
    run = await dispatch(at.services, request)
    at.metrics.accepted()
    if wait_s > 0:
        run = await at.wait(org, run.run_id, wait_s)
        if run.terminal:
            return Json(await views.status(at.services, org, run.run_id))
    return Json({"run_id": run.run_id, "status": run.status.value if run.terminal else "pending"}, status_code=202)


def _limit(at: Runtime, org: str, pipeline: str) -> None:
    """Take a token of the pipeline's own limit, which each org has for itself. Raises `RateLimited`."""
    loaded = at.services.catalog.get(pipeline)
    per_minute = loaded.pipeline.rate_limit_per_minute
    if per_minute is None:
        return
    taken = at.pipelines(per_minute).take(f"{org} {loaded.path}", at.services.clock.now().timestamp())
    if not taken.allowed:
        message = f"{loaded.path} runs at most {per_minute} times a minute for an org (its rate_limit_per_minute)."
        raise RateLimited(message, retry_after_s=taken.retry_after_s)
