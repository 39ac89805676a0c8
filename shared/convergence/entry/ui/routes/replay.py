"""Replay a run: as it was, or with edited parameters after a look at what will be done."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from convergence.engine.check_days import doubt_of
from convergence.engine.replay import check_edit
from convergence.engine.replay import replay as replay_run
from convergence.engine.store import require_run
from convergence.entry.api.auth import OrgName, Runner
from convergence.entry.api.runtime import At, Runtime
from convergence.entry.ui.access import check_pipeline
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.replay import DAYS, Editable, changes, editable, effect_of
from convergence.errors import ConfigErrors, ConvergenceError, InvalidInput, QuotaExceeded

router = APIRouter(route_class=PageRoute)


@router.get("/{org}/runs/{run_id}/replay")
async def form(request: Request, org: OrgName, run_id: str, at: At, _: Runner) -> Response:
    """Show the parameters of the run, and what a replay does."""
    return await _form(request, at, org, run_id, Form([]), "")


@router.post("/{org}/runs/{run_id}/replay")
async def replay(request: Request, org: OrgName, run_id: str, at: At, caller: Runner, sent: Signed) -> Response:
    """Start the replay, or show the form again with what is wrong."""
    await check_pipeline(at, caller, org, run_id)
    edited = {} if "as_it_was" in sent else changes(await editable(at.services, org, run_id, sent))
    latest = sent.get("plan") == "latest"
    if "check" in sent:
        return await _form(request, at, org, run_id, sent, await _wrong(at, org, run_id, edited, latest=latest))
    pipeline = (await require_run(at.services, org, run_id)).run.pipeline
    if "force" not in sent and (doubt := doubt_of(at.services, pipeline, edited)):
        return await _form(request, at, org, run_id, sent, "", doubt)
    try:
        await replay_run(at.services, org, run_id, parameters=edited or None, latest=latest)
    except (InvalidInput, ConfigErrors, QuotaExceeded) as error:
        if "as_it_was" in sent:
            raise
        return await _form(request, at, org, run_id, sent, str(error))
    return redirect(f"/ui/{org}/runs/{run_id}")


async def _form(
    request: Request, at: Runtime, org: str, run_id: str, sent: Form, wrong: str, doubt: str = ""
) -> Response:
    fields = await editable(at.services, org, run_id, sent)
    run = (await require_run(at.services, org, run_id)).run
    return await page(
        request,
        "replay.html",
        status=422 if wrong or doubt else 200,
        active="pipelines",
        run_id=run_id,
        pipeline=run.pipeline,
        fields=fields,
        changed=_changed(fields),
        compare=True,
        other_days=any(field.name in DAYS for field in _changed(fields)),
        latest=sent.get("plan") == "latest",
        effect=await effect_of(at.services, org, run_id),
        wrong=wrong,
        doubt=doubt,
    )


def _changed(fields: list[Editable]) -> list[Editable]:
    return [field for field in fields if field.changed]


async def _wrong(at: Runtime, org: str, run_id: str, edited: dict[str, str], *, latest: bool) -> str:
    """Return why the replay would be refused, empty when it would not."""
    run = (await require_run(at.services, org, run_id)).run
    try:
        await check_edit(at.services, run, edited or None, latest=latest)
    except ConvergenceError as error:
        return str(error)
    return ""
