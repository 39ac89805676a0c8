"""The history of an org's runs, and actions on several of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.domain.status import COMPLETED_WITH_WARNINGS, RunStatus
from convergence.engine.cancel import cancel
from convergence.engine.replay import replay
from convergence.engine.views.run_search import Search
from convergence.entry.api.auth import OrgName, Reader, Runner
from convergence.entry.api.runtime import At, Caller, Runtime
from convergence.entry.ui.access import check_pipeline, rights
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import PageRoute, page
from convergence.entry.ui.views.history import Act, Chosen, chosen_runs, history_page
from convergence.errors import ConvergenceError, InvalidInput

router = APIRouter(route_class=PageRoute)
_TRIGGERS: Final = ("api", "ui", "schedule", "backfill", "manual", "replay", "anonymous")
Short = Annotated[str, Query(max_length=300)]


@router.get("/{org}/pipelines/history")
async def history(
    request: Request,
    org: OrgName,
    at: At,
    caller: Reader,
    pipeline: Short = "",
    status: Short = "",
    trigger: Short = "",
    provider: Short = "",
    since: Short = "",
    until: Short = "",
    cursor: Annotated[str | None, Query(max_length=2_000)] = None,
) -> Response:
    """Show a page of runs that match the filters in the address."""
    stored, outcome = _status(status)
    search = Search(
        pipeline=pipeline.strip() or None,
        provider=provider or None,
        status=stored,
        outcome=outcome,
        trigger=trigger or None,
        since=_midnight(since, 0),
        until=_midnight(until, 1),
    )
    found = await history_page(at.services, org, search, cursor)
    given = {name: value for name, value in request.query_params.items() if name != "cursor"}
    older = None if found.cursor is None else "?" + urlencode({**given, "cursor": found.cursor})
    known = await at.pipelines.get()
    return await page(
        request,
        "history.html",
        active="pipelines/history",
        view={"rows": found.rows, "older": older},
        first=None if cursor is None else "?" + urlencode(given),
        asked={"pipeline": search.pipeline, "status": status, "trigger": trigger, "provider": provider},
        since=since,
        until=until,
        names=[each.path for each in known],
        statuses=[COMPLETED_WITH_WARNINGS, *(each.value for each in RunStatus)],
        triggers=_TRIGGERS,
        providers=sorted({each.pipeline.provider for each in known}),
        **rights(caller, org),
    )


@router.post("/{org}/pipelines/history")
async def bulk(request: Request, org: OrgName, at: At, caller: Runner, sent: Signed) -> Response:
    """Count what an action would do to the chosen runs; do it when the visitor has seen the count."""
    act: Act = "cancel" if sent.get("act") == "cancel" else "replay"
    rows = await chosen_runs(at.services, org, sent.many("run"), act)
    if not rows:
        raise InvalidInput("No run is chosen; tick one first.")
    able = [row for row in rows if row.able]
    done = sent.get("sure") == "1"
    sentence = f"{len(able)} of {len(rows)} can; the others stay as they are."
    if done:
        rows = [await _act(at, caller, org, row, act) if row.able else row for row in rows]
        sentence = "Each run is listed with what happened."
    return await page(
        request,
        "bulk.html",
        active="pipelines/history",
        act=act,
        rows=rows,
        able=len(able),
        sentence=sentence,
        done=done,
    )


async def _act(at: Runtime, caller: Caller, org: str, row: Chosen, act: Act) -> Chosen:
    """Act on one run; what goes wrong with it must not stop the others."""
    try:
        if act == "cancel":
            run = await cancel(at.services, org, row.run_id)
        else:
            await check_pipeline(at, caller, org, row.run_id)
            run = await replay(at.services, org, row.run_id)
    except ConvergenceError as error:
        return replace(row, effect=f"refused: {error}")
    return replace(row, status=run.status.value, effect="cancelled" if act == "cancel" else "started again")


def _status(text: str) -> tuple[str | None, str | None]:
    """Return the stored status and the shown one that a filter asks for; None: any.

    Raises:
        InvalidInput: no run is shown with this status.
    """
    if text == COMPLETED_WITH_WARNINGS:
        return RunStatus.COMPLETED, text
    if text and text not in set(RunStatus):
        raise InvalidInput(f"no run has the status {text[:40]!r}")
    return text or None, text or None


def _midnight(text: str, days: int) -> datetime | None:
    """Return the beginning of a day in UTC, `days` later. Raises `InvalidInput`."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"a day must be written as 2026-11-28, not {text[:40]!r}") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
