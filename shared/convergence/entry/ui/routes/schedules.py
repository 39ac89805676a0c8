"""Schedules and backfills: look, pause, resume, trigger, edit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from convergence.domain.model_errors import message_of
from convergence.engine.backfills import feed
from convergence.engine.backfills.feed import require_backfill
from convergence.engine.schedules import edit
from convergence.engine.schedules.change import ScheduleChange, change_schedule
from convergence.engine.schedules.store import require_schedule
from convergence.engine.schedules.views import schedule_view
from convergence.engine.services import Services
from convergence.entry.api.auth import Admin, OrgName, Reader, Runner, check_run
from convergence.entry.api.routes.scheduler import TimingBody
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.entry.ui.access import rights
from convergence.entry.ui.formats import pretty
from convergence.entry.ui.forms import Form, Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.schedules import schedules_page, upcoming
from convergence.errors import ConfigErrors, ConvergenceError, InvalidInput, NotFound

router = APIRouter(route_class=PageRoute)
_PAGE: Final = "/{org}/pipelines/schedules"
_NUMBERS: Final = ("jitter_minutes", "starting_deadline_minutes", "queue_max")
_DIGITS_MAX: Final = 9
_TEXTS: Final = ("cron_expression", "timezone", "missed", "overlap")
_CHANGES: Final[dict[str, Callable[[Services, str, str], Awaitable[Any]]]] = {
    "pause": feed.pause,
    "resume": feed.resume,
    "cancel": feed.cancel_backfill,
}


@router.get(_PAGE)
async def show(request: Request, org: OrgName, at: At, caller: Reader) -> Response:
    """Show the schedules and backfills of an org."""
    view = await schedules_page(at.services, org)
    return await page(request, "schedules.html", view=view, active="pipelines/schedules", **rights(caller, org))


@router.post(f"{_PAGE}/{{schedule_id}}/trigger")
async def trigger(org: OrgName, schedule_id: str, at: At, caller: Runner, _: Signed) -> Response:
    """Run what a schedule runs, now."""
    await _check_pipeline(at, caller, org, schedule_id)
    run = await edit.trigger(at.services, org, schedule_id)
    return redirect(f"/ui/{org}/runs/{run.run_id}")


@router.post(f"{_PAGE}/{{schedule_id}}/pause")
async def pause(org: OrgName, schedule_id: str, at: At, caller: Admin, _: Signed) -> Response:
    """Pause a schedule until it is resumed."""
    await _check_pipeline(at, caller, org, schedule_id)
    await edit.pause(at.services, org, schedule_id)
    return redirect(f"/ui/{org}/pipelines/schedules#{schedule_id}")


@router.post(f"{_PAGE}/{{schedule_id}}/resume")
async def resume(org: OrgName, schedule_id: str, at: At, caller: Admin, form: Signed) -> Response:
    """Let a schedule fire again; with `catch_up` what was missed is decided too."""
    await _check_pipeline(at, caller, org, schedule_id)
    await edit.resume(at.services, org, schedule_id, catch_up="catch_up" in form)
    return redirect(f"/ui/{org}/pipelines/schedules#{schedule_id}")


@router.get(f"{_PAGE}/{{schedule_id}}")
async def form(request: Request, org: OrgName, schedule_id: str, at: At, _: Admin) -> Response:
    """Show a schedule's timing with its next firings."""
    return await _form(request, at, org, schedule_id, Form([]), "")


@router.post(f"{_PAGE}/{{schedule_id}}")
async def change(request: Request, org: OrgName, schedule_id: str, at: At, caller: Admin, sent: Signed) -> Response:
    """Change a schedule's timing and parameters, or show what is wrong."""
    await _check_pipeline(at, caller, org, schedule_id)
    try:
        await change_schedule(at.services, org, schedule_id, _change(sent))
    except ConvergenceError as error:
        return await _form(request, at, org, schedule_id, sent, str(error))
    return redirect(f"/ui/{org}/pipelines/schedules#{schedule_id}")


@router.post(f"{_PAGE}/backfills/{{backfill_id}}/{{change}}")
async def backfill(org: OrgName, backfill_id: str, change: str, at: At, caller: Runner, _: Signed) -> Response:
    """Pause, resume or cancel a backfill."""
    if change not in _CHANGES:
        raise NotFound(f"a backfill cannot be changed by {change[:40]!r}")
    pipeline = (await require_backfill(at.services, org, backfill_id)).backfill.pipeline
    if change == "resume":
        with suppress(NotFound, ConfigErrors):  # its file is gone or broken: it stops again
            check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
    await _CHANGES[change](at.services, org, backfill_id)
    return redirect(f"/ui/{org}/pipelines/schedules#{backfill_id}")


def _change(sent: Form) -> ScheduleChange:
    """Return the change that a form asks for; empty fields change nothing. Raises `InvalidInput`."""
    given: dict[str, Any] = {name: sent[name].strip() for name in _TEXTS if sent.get(name, "").strip()}
    for name in _NUMBERS:
        text = sent.get(name, "").strip()
        if text:
            given[name] = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else text
    try:
        if sent.get("parameters", "").strip():
            given["parameters"] = orjson.loads(sent["parameters"])
        return TimingBody.model_validate(given).change()
    except orjson.JSONDecodeError as error:
        raise InvalidInput("the parameters must be one JSON object") from error
    except ValidationError as errors:
        wrong = errors.errors(include_input=False)
        raise InvalidInput("; ".join(f"{each['loc'][0]}: {message_of(each)}" for each in wrong)) from None


async def _form(request: Request, at: Runtime, org: str, schedule_id: str, sent: Form, wrong: str) -> Response:
    schedule, firings = await upcoming(at.services, org, schedule_id)
    view = schedule_view(schedule, at.services.clock.now(), await at.services.orgs.get(org))
    values = {
        "cron_expression": view["cron_expression"],
        "timezone": view["timezone"],
        "missed": view["missed"],
        "overlap": view["overlap"],
        "jitter_minutes": str(view["jitter_minutes"]),
        "starting_deadline_minutes": str(schedule.timing.starting_deadline_s // 60),
        "queue_max": str(schedule.timing.queue_max),
        "parameters": pretty(view["parameters"]),
    }
    return await page(
        request,
        "schedule.html",
        status=422 if wrong else 200,
        active="pipelines/schedules",
        view=view,
        values={**values, **{name: value for name, value in sent.items() if name in values}},
        firings=firings,
        wrong=wrong,
    )


async def _check_pipeline(at: Runtime, caller: Caller, org: str, schedule_id: str) -> None:
    """Raise unless the caller may run the schedule's pipeline, and the schedule is the org's."""
    schedule = (await require_schedule(at.services, org, schedule_id)).schedule
    with suppress(NotFound, ConfigErrors):  # its file is gone or broken: nothing starts either way
        check_run(caller, org, at.services.catalog.get(schedule.pipeline).pipeline)
