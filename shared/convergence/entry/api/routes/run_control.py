"""Cancel and replay runs."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter

from convergence.domain.status import RunStatus
from convergence.domain.step import Applied
from convergence.engine.cancel import cancel as cancel_run
from convergence.engine.check_days import check_days
from convergence.engine.replay import replay as replay_run
from convergence.engine.store import require_run
from convergence.entry.api.auth import OrgName, Runner, check_run
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Accepted, Cancelled, ReplayBody
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.run_status import RunId
from convergence.entry.api.runtime import At
from convergence.errors import ConfigErrors, NotFound

router = APIRouter(prefix="/pipelines", tags=["act"], route_class=StrictRoute)


@router.post("/cancel/{org}/{run_id}", response_model=Cancelled, responses=documented(404))
async def cancel(org: OrgName, run_id: RunId, at: At, _: Runner) -> Json:
    """Cancel a run; finished steps keep their results, and a run that has already ended is unchanged."""
    run = await cancel_run(at.services, org, run_id)
    return Json({"success": run.status is RunStatus.CANCELLED, "status": run.status.value})


@router.post("/replay/{org}/{run_id}", status_code=202, response_model=Accepted, responses=documented(404))
async def replay(org: OrgName, run_id: RunId, at: At, caller: Runner, body: ReplayBody | None = None) -> Json:
    """Run a failed or cancelled run again from where it stopped; finished steps do not run again."""
    expected = body or ReplayBody()
    pipeline = (await require_run(at.services, org, run_id)).run.pipeline
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: the pinned plan goes on without it
        check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
    if not expected.force:
        check_days(at.services, pipeline, expected.parameters or {})
    applied = {step_id: Applied(word) for step_id, word in expected.applied.items()}
    run = await replay_run(
        at.services, org, run_id, parameters=expected.parameters, latest=expected.latest, applied=applied
    )
    return Json({"run_id": run.run_id, "status": "pending"}, status_code=202)
