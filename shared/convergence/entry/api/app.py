"""Assemble the API from routers, error handlers and middleware; nothing happens at import."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.middleware.cors import CORSMiddleware

from convergence.entry.api import problems
from convergence.entry.api.middleware import RequestMiddleware
from convergence.entry.api.routes import (
    backfills,
    billing,
    dead_letter_discards,
    dead_letter_replays,
    dead_letters,
    discovery,
    doctor,
    events,
    health,
    hierarchy,
    integrations,
    migrations,
    organizations,
    pauses,
    procedures,
    query,
    run,
    run_control,
    run_status,
    scheduler,
    schemas,
    webhooks,
)
from convergence.entry.api.runtime import Runtime
from convergence.entry.ui import site
from convergence.entry.ui.pages import error_page

PREFIX: Final = "/api/v1"
_AREAS: Final = (
    run,
    run_status,
    events,
    run_control,
    query,
    scheduler,
    backfills,
    dead_letter_discards,
    dead_letter_replays,
    dead_letters,
    discovery,
    hierarchy,
    integrations,
    organizations,
    billing,
    pauses,
    procedures,
    migrations,
    schemas,
    webhooks,
    doctor,
)
_ABOUT: Final = """Pipelines as config: usage and cost data of many tenants in one FOCUS table.

Errors are RFC 9457 problem documents with a stable `code`. Every answer has an `X-Request-ID`."""


def create_app(runtime: Runtime) -> FastAPI:
    """Return the API for a runtime. The worker runs in the same process or in another one."""
    app = FastAPI(
        title="Convergence",
        version=version("convergence-pipelines"),
        description=_ABOUT,
        openapi_url="/openapi.json",
        docs_url=None,  # the page would load scripts from another site
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # else it reads its settings on each request
    )
    app.state.runtime = runtime
    for area in _AREAS:
        app.include_router(area.router, prefix=PREFIX)
    if not runtime.settings.production:
        app.include_router(organizations.development, prefix=PREFIX)
    app.include_router(health.router)
    app.include_router(site.router())
    problems.install(app, error_page)
    app.add_middleware(RequestMiddleware, runtime=runtime)
    if runtime.settings.CORS_ORIGINS:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(runtime.settings.CORS_ORIGINS),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["X-API-Key", "X-Request-ID", "Idempotency-Key", "Content-Type", "Last-Event-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            openapi_version=app.openapi_version,
            routes=app.routes,
        )
        _, found = models_json_schema(
            [(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        document["components"]["schemas"] |= found["$defs"]
        app.openapi_schema = document
    return app.openapi_schema
