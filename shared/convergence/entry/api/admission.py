"""Who is calling, and does their rate limit let them in? Decided once for each request, before any route.

Callers do not share limits: those without a key are counted by address, keys by org, the operator alone. Failed keys
are counted by address too, but apart from requests without one, so that neither takes anything from good keys.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from convergence.domain.rate import Taken
from convergence.entry.api.runtime import Caller, Runtime, StepDelivery
from convergence.errors import RateLimited
from convergence.tenants.api_keys import same_text

API_KEY_HEADER: Final = "X-API-Key"
ROOT_KEY_HEADER: Final = "X-CA-Root-Key"
ROOT: Final = Caller(kind="root", scopes=("admin",))
NOBODY: Final = Caller(kind="nobody")
PROBES: Final = frozenset({"/health", "/ready"})  # refused, they would stop a healthy instance
_IPV6_NETWORK: Final = 64  # bits; one subscriber has a whole network of addresses


async def admit(at: Runtime, visit: StepDelivery, request: Request) -> None:
    """Set `visit.caller`, None for a key that is not valid, and take a token from the caller's limit.

    Raises:
        RateLimited: the limit of this kind of caller is reached.
    """
    if request.method in ("GET", "HEAD") and request.scope["path"] in PROBES:
        visit.caller = NOBODY
        return
    key, root = keys_of(request.headers)
    guesses = f"failed keys from {_network(visit.client)}"
    limited = at.settings.RATE_LIMIT_ENABLED
    if limited and root is None and key is not None and not at.keys.recently_valid(key):
        _check(visit, at.callers.look(guesses, _now(at)), guesses)  # no read of the store for a flood of guesses
    visit.caller = caller = await identify(at, key, root)
    if not limited:
        return
    if caller is None:
        each, together = guesses, "failed keys"
    elif caller.kind == "nobody":
        each, together = f"address {_network(visit.client)}", "requests without a key"
    else:
        each, together = f"org {caller.org}", "keys"
    if caller != ROOT:
        visit.taken = at.callers.take(each, _now(at))
        _check(visit, visit.taken, each)
    _take(at, visit, "the operator" if caller == ROOT else together)


async def identify(at: Runtime, key: str | None, root: str | None) -> Caller | None:
    """Return the caller that the keys belong to, `nobody` without one, None for a key that is not valid."""
    if at.settings.DISABLE_AUTH:
        return ROOT
    if root is not None:
        expected = at.settings.CONVERGENCE_ROOT_KEY.get_secret_value()
        return ROOT if expected and same_text(root, expected) else None
    if key is None:
        return NOBODY
    found = await at.keys.verify(key)
    return None if found is None else Caller(kind="org", org=found.org, key_id=found.key_id, scopes=found.scopes)


def keys_of(headers: Headers) -> tuple[str | None, str | None]:
    """Return the org's and the operator's key without blanks around them; an empty header counts as none."""
    key, root = headers.get(API_KEY_HEADER, "").strip(), headers.get(ROOT_KEY_HEADER, "").strip()
    return key or None, root or None


def _take(at: Runtime, visit: StepDelivery, kind: str) -> None:
    """Take a token of all callers of one kind together."""
    _check(visit, at.all_callers.take(kind, _now(at)), f"{kind}, all together")


def _check(visit: StepDelivery, taken: Taken, whose: str) -> None:
    if not taken.allowed:
        visit.taken = taken
        message = f"The limit of {taken.limit} requests a minute for {whose} is reached."
        raise RateLimited(message, retry_after_s=taken.retry_after_s)


def _network(address: str) -> str:
    """Return an IPv4 address as it is, of an IPv6 address its network."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], _IPV6_NETWORK), strict=False))
    except ValueError:
        return address


def _now(at: Runtime) -> float:
    return at.services.clock.now().timestamp()
