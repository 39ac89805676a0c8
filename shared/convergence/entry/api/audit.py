"""Every mutating call, refused or not, as an event: who, what, from where, outcome. No body, no key, no query.

Not what a rate limit turned away: a flood must not be written down.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.types import Scope

from convergence.domain.times import to_text
from convergence.engine.messages import message
from convergence.entry.api.runtime import Runtime, StepDelivery
from convergence.ports.bus import AUDIT_EVENTS
from convergence.tenants.orgs import SLUG

MUTATING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_TARGETS: Final = ("run_id", "path", "provider", "key_id", "name")


async def audit(runtime: Runtime, scope: Scope, visit: StepDelivery, route: str, status: int) -> None:
    """Publish one entry as a CloudEvent.

    Of the path, the route's template and the named objects are told: the rest may be a stranger's text. The entry
    belongs to the caller's org, or to the org that the operator changed; what a stranger tried belongs to nobody.
    """
    given: dict[str, Any] = scope.get("path_params", {})
    caller, named = visit.caller, given.get("org", "")
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
            "request_id": visit.request_id,
            "actor": "nobody" if caller is None or caller.kind == "nobody" else caller.key_id or caller.kind,
            "action": f"{scope['method']} {route}",
            "target_org": named if SLUG.fullmatch(named) else "",
            "target": next((str(given[name])[:200] for name in _TARGETS if name in given), ""),
            "client": visit.client,
            "http_status": status,
            "outcome": "done" if 0 < status < 400 else "refused" if 0 < status < 500 else "failed",
            "code": visit.code,
        },
    }
    await runtime.services.bus.publish(AUDIT_EVENTS, [message(orjson.dumps(event), org=org)])
