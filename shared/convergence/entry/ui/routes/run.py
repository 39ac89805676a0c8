"""The page of a run, its live events, and its data as files."""

from __future__ import annotations

from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from convergence.engine.cancel import cancel as cancel_run
from convergence.engine.store import read_all_steps, read_plan, record_id, require_run
from convergence.engine.views import runs as views
from convergence.entry.api.admission import browser_caller
from convergence.entry.api.auth import OrgName, Reader, Runner
from convergence.entry.api.routes.events import EventStream, stream_moves
from convergence.entry.api.routes.run_status import download as log_file
from convergence.entry.api.runtime import At, request_state
from convergence.entry.ui.access import rights
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import HEADERS, PageRoute, page, redirect
from convergence.entry.ui.svg.timeline import folded_words
from convergence.entry.ui.views.log import run_log
from convergence.entry.ui.views.run import run_page
from convergence.entry.ui.views.run_cost import RunCosts
from convergence.errors import ConfigErrors, NotFound

router = APIRouter(route_class=PageRoute)
_HERE: Final = "/{org}/runs/{run_id}"
Number = Annotated[int, Query(ge=1, le=10_000)]


@router.get(_HERE)
async def show(
    request: Request,
    org: OrgName,
    run_id: str,
    at: At,
    caller: Reader,
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
    moves: Number = 1,
    step: Annotated[str, Query(max_length=200)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    level: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show a run."""
    view = await run_page(at.services, org, run_id, page=number, moves_page=moves, chosen=step)
    failing = view.failing["step_id"] if view.failing else ""
    log = await run_log(at, run_id, text=q, level=level, failing=failing, moves=view.moves)
    costs = await _costs(request).get(at.services, org, run_id, view.run["epoch"], view.dates) if view.ended else ()
    name, runnable = view.run["pipeline"], False
    try:
        pipeline = at.services.catalog.get(view.run["pipeline"]).pipeline
        name, runnable = pipeline.name or name, True
    except (NotFound, ConfigErrors):
        pass  # its file is gone; the run stays readable
    return await page(
        request,
        "run.html",
        view=view,
        active="pipelines",
        name=name,
        runnable=runnable,
        costs=costs,
        lines=log.lines,
        failing_lines=log.failing,
        log_count=log.count,
        log_note=log.note,
        no_lines="Nothing was logged here; where functions run, lines are in Cloud Logging.",
        folded=folded_words(view.timeline),
        q=q,
        level=level,
        **rights(caller, org),
    )


@router.post(f"{_HERE}/cancel")
async def cancel(org: OrgName, run_id: str, at: At, _: Runner, _form: Signed) -> Response:
    """Cancel a run."""
    await cancel_run(at.services, org, run_id)
    return redirect(f"/ui/{org}/runs/{run_id}")


@router.get(f"{_HERE}/events")
async def events(
    request: Request,
    org: OrgName,
    run_id: str,
    at: At,
    caller: Reader,
    last_event_id: Annotated[str | None, Header(max_length=300)] = None,
) -> Response:
    """Send the moves of a run as they happen, for as long as the session lives."""
    await require_run(at.services, org, run_id)
    state = request_state(request)

    async def allowed() -> bool:
        return await browser_caller(at, state.session) == caller

    moves = stream_moves(at, org, run_id, last_event_id, allowed, counted=True)
    return EventStream(moves, at.streams, org, state)


@router.get(f"{_HERE}/run.json")
async def raw(org: OrgName, run_id: str, at: At, _: Reader) -> Response:
    """Return what the API answers for the run."""
    return _file(await views.status(at.services, org, run_id), f"{run_id}.json")


@router.get(f"{_HERE}/steps/{{step_id}}.json")
async def step_file(org: OrgName, run_id: str, step_id: str, at: At, _: Reader) -> Response:
    """Return all of a step's input and result."""
    run = (await require_run(at.services, org, run_id)).run
    plan = await read_plan(at.services, run)
    planned = plan.by_id.get(step_id)
    if planned is None:
        raise NotFound(f"{run_id} has no step {step_id[:100]!r}.")
    known = (await read_all_steps(at.services, run)).get(record_id(planned, run.epoch))
    step = None if known is None else known.step
    data = {
        "step_id": step_id,
        "input": planned.config,
        "result": None if step is None else step.result,
        "error": None if step is None else step.error,
    }
    return _file(data, f"{run_id}.{step_id}.json")


@router.get(f"{_HERE}/log.ndjson")
async def log(org: OrgName, run_id: str, at: At, caller: Reader) -> Response:
    """Return the log as a file."""
    return await log_file(org, run_id, at, caller)


def _costs(request: Request) -> RunCosts:
    """Return the costs that this process keeps; the first page that needs them makes them."""
    state = request.app.state
    if not hasattr(state, "run_costs"):
        state.run_costs = RunCosts()
    found: RunCosts = state.run_costs
    return found


def _file(data: object, name: str) -> Response:
    safe = "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in name)
    headers = {**HEADERS, "content-disposition": f'attachment; filename="{safe}"'}
    text = orjson.dumps(data, default=str, option=orjson.OPT_INDENT_2)
    return Response(text, media_type="application/json", headers=headers)
