"""What a page's visitor may do, for buttons that only show what works."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import Request

from convergence.engine.store import require_run
from convergence.entry.api.auth import check_run
from convergence.entry.api.runtime import Caller, Runtime, request_state
from convergence.errors import ConfigErrors, Denied, NotFound, Unauthenticated


def visitor(request: Request) -> Caller:
    """Return who looks at the page. Raises `Unauthenticated` for a visitor who has not signed in."""
    caller = request_state(request).caller
    if caller is None or caller.kind == "anonymous":
        raise Unauthenticated("Sign in first.")
    return caller


def rights(caller: Caller, org: str) -> dict[str, Any]:
    """Return what templates ask before they show a button."""
    return {"can_run": caller.may(org, "run"), "can_admin": caller.may(org, "admin")}


def check_operator(caller: Caller) -> None:
    """Raise `Denied` unless the operator asks."""
    if caller.kind != "root":
        raise Denied("This needs the operator's key.")


async def check_pipeline(at: Runtime, caller: Caller, org: str, run_id: str) -> None:
    """Raise unless the caller may run the pipeline of a run. Without its file, the pinned plan goes on."""
    pipeline = (await require_run(at.services, org, run_id)).run.pipeline
    with suppress(NotFound, ConfigErrors):
        check_run(caller, org, at.services.catalog.get(pipeline).pipeline)
