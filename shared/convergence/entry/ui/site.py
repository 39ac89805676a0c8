"""All routes of the dashboard, for the application that serves the API."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from convergence.entry.ui.routes import history, pipelines, replay, run, session, start

PAGES: Final = (session, pipelines, history, start, replay, run)


def router() -> APIRouter:
    """Return the routes, all below `/ui`; they are not part of the API's document."""
    whole = APIRouter(prefix="/ui", include_in_schema=False)
    for each in PAGES:
        whole.include_router(each.router)
    whole.include_router(session.rest)  # the last: it answers for every path that no page has
    return whole
