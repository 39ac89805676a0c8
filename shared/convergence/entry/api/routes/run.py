"""Start runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from convergence.entry.api import starting
from convergence.entry.api.auth import Known, OrgName, check, check_known, check_run
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Accepted
from convergence.entry.api.runtime import At
from convergence.entry.api.starting import DryRun, Force, IdempotencyKey, Parameters, Queue, Seconds
from convergence.errors import Denied, NotFound, Unauthenticated

router = APIRouter(prefix="/pipelines", tags=["run"], route_class=StrictRoute)

PipelinePath = Annotated[
    str, Path(description="Two to four segments; empty ones are ignored.", examples=["openai/cost/usage_cost"])
]


async def _allowed(org: OrgName, path: PipelinePath, at: At, caller: Known) -> str:
    """Return the path of a pipeline that the caller may run; its body is judged afterwards."""
    if caller.kind != "anonymous":
        check(caller, org, "run")
    loaded = at.services.catalog.get("/".join(filter(None, path.split("/"))))
    check_run(caller, org, loaded.pipeline)
    if caller.kind == "anonymous" and not at.settings.ANONYMOUS_RUNS_PER_DAY:
        raise Unauthenticated(f"{loaded.path} needs a key where ANONYMOUS_RUNS_PER_DAY is 0, as here.")
    return loaded.path


@router.post("/run/{org}/{path:path}", status_code=202, response_model=Accepted, responses=starting.ANSWERS)
async def run(
    org: OrgName,
    path: Annotated[str, Depends(_allowed)],
    at: At,
    caller: Known,
    parameters: Parameters = None,
    wait: Seconds = 0,
    dry_run: DryRun = False,
    queue: Queue = False,
    force: Force = False,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Run a pipeline for an org."""
    anonymous = caller.kind == "anonymous"
    try:
        return await starting.start(
            at,
            org,
            path,
            parameters,
            wait_s=wait,
            dry_run=dry_run,
            idempotency_key=idempotency_key,
            created_by=caller.name,
            anonymous=anonymous,
            queue=queue,
            force=force,
        )
    except (NotFound, Denied):
        check_known(caller)  # without a key, the answer must not reveal whether the org exists
        raise
