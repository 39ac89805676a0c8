"""Lets a command that follows the demo ask the sandbox that the demo asked."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from convergence.domain.run import Run
from convergence.engine.prepare_run import RunRequest
from convergence.engine.services import Services
from convergence.entry.cli.sandbox import TRIGGER, is_loopback, serve
from convergence.entry.cli.session import Session
from convergence.ports.documents import Order, Where

_PRIVATE: Final = "allow_private_addresses"


async def with_sandbox(session: Session, services: Services, request: RunRequest, stack: AsyncExitStack) -> RunRequest:
    """Return the request with the address of the sandbox, which listens until `stack` is closed.

    Unchanged unless the latest run of this org and provider asked the sandbox, as those of the demo do: a credential
    that was stored since then belongs to the provider itself. Unchanged too where the caller gives an address or a
    secret.
    """
    pipeline = services.catalog.get(request.pipeline).pipeline
    secret = {name for name, spec in pipeline.parameters.items() if spec.type == "secret"}
    if secret & request.parameters.keys() or "api_base_url" in request.parameters:
        return request
    where = [Where("org", "==", request.org), Where("provider", "==", pipeline.provider)]
    page = await services.documents.query("runs", where=where, order=[Order("created_at", descending=True)], limit=1)
    latest = next((Run.from_data(document.data) for document in page.documents), None)
    if latest is None or latest.trigger != TRIGGER:
        return request
    asked = {name: value for name, value in latest.parameters.items() if is_loopback(value)}
    known = {name: value for name, value in asked.items() if name in pipeline.parameters}
    if not known:
        return request
    if latest.parameters.get(_PRIVATE) is True and _PRIVATE in pipeline.parameters:
        known[_PRIVATE] = True
    await serve(session.installation, session.out, [latest], stack)
    addresses = ", ".join(f"{name}={value}" for name, value in sorted(known.items()))
    session.out.note(f"The sandbox answers, as in the demo ({addresses}).")
    return replace(request, parameters={**known, **request.parameters}, trigger=TRIGGER)
