"""Liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from convergence.entry.api.json import Json
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At
from convergence.errors import Transient

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


@router.get("/health", response_model=Health, responses=documented())
async def health() -> Json:
    """Answer while the process lives."""
    return Json({"status": "ok"})


@router.get("/ready", response_model=Health, responses=documented())
async def ready(at: At) -> Json:
    """Answer when the store is reachable and writable and the configs are present; 503 with the reason otherwise."""
    reason = await at.trouble.get()
    if reason is not None:
        raise Transient(reason)
    return Json({"status": "ok"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented()},
)
async def metrics(at: At) -> Response:
    """Return metrics for Prometheus."""
    at.metrics.queues(*await at.load.get())
    at.metrics.delivered(at.services.cache.webhook_outcomes)
    return Response(at.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
