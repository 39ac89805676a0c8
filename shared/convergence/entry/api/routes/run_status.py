"""The status, history and logs of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NotRequired

import orjson
from fastapi import APIRouter, Path, Query
from starlette.responses import Response
from typing_extensions import TypedDict

from convergence.domain.status import RunStatus
from convergence.engine.views import runs as views
from convergence.engine.views.models import History, Move, RunSummary, RunView, StepView
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.json import Json
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Runtime

router = APIRouter(prefix="/pipelines", tags=["state"])

RunId = Annotated[str, Path(description="The run's id.", examples=["run_5f0c2d9a4be1c7d83f60"])]
Status = Literal["queued", "pending", "validating", "running", "completed", "failed", "cancelled", "skipped"]


class Entry(TypedDict):
    """One line of a run's log: a move, or what a step or the engine logged."""

    kind: Literal["move", "log"]
    at: str
    step_id: str | None
    status: NotRequired[str]
    why: NotRequired[str]
    level: NotRequired[str]
    message: NotRequired[str]


class Logs(TypedDict):
    """A run's log, in order of time, and the run with its parameters."""

    run_id: str
    run: RunSummary
    entries: list[Entry]


class Steps(TypedDict):
    """The steps of a run, in plan order."""

    run_id: str
    steps: list[StepView]


class Transitions(TypedDict):
    """Every move of a run and its steps, oldest first."""

    run_id: str
    transitions: list[Move]


@router.get("/status/{org}/{run_id}", response_model=RunView, responses=documented(404))
async def status(org: OrgName, run_id: RunId, at: At, _: Reader) -> Json:
    """Return a run with its steps; `waits_for` names what a stalled run waits for."""
    return Json(await views.status(at.services, org, run_id))


@router.get("/history/{org}", response_model=History, responses=documented(404))
async def history(
    org: OrgName,
    at: At,
    _: Reader,
    provider: Annotated[str | None, Query(max_length=100)] = None,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=views.PAGE_MAX)] = 50,
    cursor: Annotated[str | None, Query(max_length=2_000, description="From the previous page.")] = None,
) -> Json:
    """Return the org's runs, latest first."""
    await at.services.orgs.get(org)
    return Json(await views.history(at.services, org, provider=provider, status=status, limit=limit, cursor=cursor))


@router.get("/logs/{org}/{run_id}", response_model=Logs, responses=documented(404))
async def logs(org: OrgName, run_id: RunId, at: At, _: Reader) -> Json:
    """Return moves and log lines, in order of time."""
    run = await views.summary(at.services, org, run_id)
    return Json({"run_id": run_id, "run": run, "entries": await _entries(at, org, run_id)})


@router.get("/logs/{org}/{run_id}/steps", response_model=Steps, responses=documented(404))
async def steps(org: OrgName, run_id: RunId, at: At, _: Reader) -> Json:
    """Return the steps."""
    return Json({"run_id": run_id, "steps": (await views.status(at.services, org, run_id))["steps"]})


@router.get("/logs/{org}/{run_id}/transitions", response_model=Transitions, responses=documented(404))
async def transitions(org: OrgName, run_id: RunId, at: At, _: Reader) -> Json:
    """Return every move with its reason."""
    return Json({"run_id": run_id, "transitions": await views.transitions(at.services, org, run_id)})


@router.get(
    "/logs/{org}/{run_id}/download",
    response_class=Response,
    responses={
        200: {
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
            "description": "One entry per line.",
        },
        **documented(404),
    },
)
async def download(org: OrgName, run_id: RunId, at: At, _: Reader) -> Response:
    """Return the log as a file, one JSON object a line."""
    lines = b"".join(orjson.dumps(entry) + b"\n" for entry in await _entries(at, org, run_id))
    name = f'attachment; filename="{run_id}.ndjson"'
    return Response(lines, media_type="application/x-ndjson", headers={"content-disposition": name})


async def _entries(at: Runtime, org: str, run_id: str) -> Sequence[dict[str, Any]]:
    moves = await views.transitions(at.services, org, run_id)  # refuses a run of another org first
    entries: list[dict[str, Any]] = [{"kind": "move", **move} for move in moves]
    entries += _logged(at, run_id)
    return sorted(entries, key=lambda entry: entry["at"])


def _logged(at: Runtime, run_id: str) -> Iterator[dict[str, Any]]:
    """Return the lines of a run without tracebacks, which are for the operator only."""
    for line in at.log_lines(run_id):
        yield {
            "kind": "log",
            "at": line["at"],
            "step_id": line.get("step_id"),
            "level": line["level"],
            "message": line["message"],
        }


assert set(Status.__args__) == {status.value for status in RunStatus}, "the document names every status"  # type: ignore[attr-defined]  # a Literal has them
