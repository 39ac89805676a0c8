"""All routes of the dashboard, for the application that serves the API."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from convergence.entry.ui.routes import (
    admin,
    costs,
    dead_letters,
    deliveries,
    history,
    pipelines,
    quality,
    replay,
    run,
    schedules,
    session,
    settings,
    start,
    webhooks,
)

PAGES: Final = (
    session,
    admin,
    pipelines,
    history,
    schedules,
    start,
    replay,
    run,
    dead_letters,
    costs,
    quality,
    settings,
    deliveries,  # before webhooks, which switches by any other word
    webhooks,
)


def router() -> APIRouter:
    """Return the routes, all below `/ui`; they are not part of the API's document."""
    whole = APIRouter(prefix="/ui", include_in_schema=False)
    for each in PAGES:
        whole.include_router(each.router)
    whole.include_router(session.rest)  # the last: it answers for every path that no page has
    return whole
