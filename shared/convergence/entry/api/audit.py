"""Publish an audit event for every mutating call, refused or not; it holds no body, key or query.

Calls that a rate limit refused are left out: a flood must not fill the log.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.types import Scope

from convergence.domain.times import to_text
from convergence.engine.messages import message
from convergence.entry.api.runtime import RequestState, Runtime
from convergence.ports.bus import AUDIT_EVENTS
from convergence.tenants.orgs import SLUG

MUTATING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_TARGETS: Final = (
    "run_id",
    "schedule_id",
    "backfill_id",
    "letter_id",
    "replay_id",
    "webhook_id",
    "path",
    "provider",
    "key_id",
    "name",
)


async def audit(runtime: Runtime, scope: Scope, state: RequestState, route: str, status: int) -> None:
    """Publish one entry as a CloudEvent.

    The entry holds the route's template and the named objects; the rest of the path may be arbitrary text. It
    belongs to the caller's org, or to the org that the operator changed; an unauthenticated attempt belongs to no org.
    """
    given: dict[str, Any] = scope.get("path_params", {})
    caller, named = state.caller, given.get("org", "")
    org = ""
    if caller is not None:
        org = caller.org if caller.kind == "org" else named if caller.kind == "root" and 0 < status < 400 else ""
    event = {
        "specversion": "1.0",
        "id": runtime.services.ids.new("audit"),
        "source": "convergence/api",
        "type": "audit.call",
        "time": to_text(runtime.services.clock.now()),
        "org": org,
        "data": {
            "request_id": state.request_id,
            "actor": "nobody" if caller is None or caller.kind == "anonymous" else caller.key_id or caller.kind,
            "action": f"{scope['method']} {route}",
            "target_org": named if SLUG.fullmatch(named) else "",
            "target": next((str(given[name])[:200] for name in _TARGETS if name in given), ""),
            "client": state.client,
            "http_status": status,
            "outcome": "done" if 0 < status < 400 else "refused" if 0 < status < 500 else "failed",
            "code": state.code,
        },
    }
    await runtime.services.bus.publish(AUDIT_EVENTS, [message(orjson.dumps(event), org=org)])
