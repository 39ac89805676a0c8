"""Run a pipeline now: a form made from its declared parameters, and the plan before the button."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from convergence.config.loader import LoadedPipeline
from convergence.engine.check_days import doubt_of
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.views.plan import PlanView, plan_view
from convergence.entry.api.auth import Admin, OrgName, Runner, check_run
from convergence.entry.api.runtime import At, Runtime
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.first_run import key_of, setup_of
from convergence.entry.ui.views.start import given, start_days, start_fields
from convergence.errors import ConfigErrors, ConvergenceError, InvalidInput

router = APIRouter(route_class=PageRoute)
_KEY_MAX = 100


@router.get("/{org}/run/{path:path}")
async def form(request: Request, org: OrgName, path: str, at: At, caller: Runner) -> Response:
    """Show the form with the plan for default parameters."""
    loaded = at.services.catalog.get(path)
    check_run(caller, org, loaded.pipeline)
    return await _form(request, at, org, loaded, Form([]), "")


@router.post("/{org}/run/{path:path}")
async def start(request: Request, org: OrgName, path: str, at: At, caller: Runner, sent: Signed) -> Response:
    """Start the run, or show the plan again. The form's own key lets a second press find the first run."""
    loaded = at.services.catalog.get(path)
    check_run(caller, org, loaded.pipeline)
    if "check" in sent:
        return await _form(request, at, org, loaded, sent, "")
    asked = _request(org, loaded, sent, caller.name)
    if "force" not in sent and (doubt := doubt_of(at.services, loaded.path, asked.parameters)):
        return await _form(request, at, org, loaded, sent, "", doubt)
    try:
        run = await dispatch(at.services, asked)
    except ConfigErrors as errors:
        return await _form(request, at, org, loaded, sent, "; ".join(map(str, errors.problems)))
    except ConvergenceError as error:
        return await _form(request, at, org, loaded, sent, str(error))
    at.metrics.accepted()
    return redirect(f"/ui/{org}/runs/{run.run_id}")


@router.post("/{org}/connect")
async def connect(org: OrgName, at: At, caller: Admin, sent: Signed) -> Response:
    """Store a provider's key and test it, and show the run that does both."""
    loaded = setup_of(sent.get("provider", ""), await at.pipelines.get())
    check_run(caller, org, loaded.pipeline)
    key = sent.get("key", "").strip()
    if not key:
        raise InvalidInput("Enter the provider's key.")
    asked = RunRequest(
        org=org,
        pipeline=loaded.path,
        parameters={key_of(loaded): key},
        trigger="ui",
        created_by=caller.name,
        queue=True,
    )
    run = await dispatch(at.services, asked)
    at.metrics.accepted()
    return redirect(f"/ui/{org}/runs/{run.run_id}")


def _request(org: str, loaded: LoadedPipeline, sent: Form, created_by: str) -> RunRequest:
    parameters = given(sent)
    key = sent.get("key", "")[:_KEY_MAX]
    return RunRequest(
        org=org,
        pipeline=loaded.path,
        parameters=parameters,
        credential_id=str(parameters.get("credential_id") or ""),
        trigger="ui",
        created_by=created_by,
        idempotency_key=f"ui {key}" if key else None,
        queue=True,
    )


async def _form(
    request: Request, at: Runtime, org: str, loaded: LoadedPipeline, sent: Form, wrong: str, doubt: str = ""
) -> Response:
    plan: PlanView | None = None
    try:
        plan = await plan_view(at.services, await prepare(at.services, _request(org, loaded, sent, "")))
    except ConvergenceError as error:
        wrong = wrong or (str(error) if sent else "")
    return await page(
        request,
        "run_form.html",
        status=422 if wrong or doubt else 200,
        active="pipelines",
        pipeline=loaded.path,
        name=loaded.pipeline.name or loaded.path,
        description=loaded.pipeline.description,
        fields=start_fields(loaded, sent),
        days=start_days(loaded, sent),
        compare=False,
        checked="check" in sent,
        plan=plan,
        wrong=wrong,
        doubt=doubt,
        key=(not wrong and sent.get("key")) or at.services.ids.new("form"),
    )
