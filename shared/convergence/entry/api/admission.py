"""Identify the caller and apply their rate limit, once per request, before any route.

Limits are separate: requests without a key are counted by address, keys by org, the operator on its own. Failed keys
are also counted by address, separately from requests without a key; neither uses up the limit of valid keys.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request

from convergence.domain.rate import Taken
from convergence.entry.api.problems import PAGES
from convergence.entry.api.runtime import Caller, RequestState, Runtime
from convergence.entry.api.sessions import Session, cookie, cookie_name
from convergence.errors import RateLimited
from convergence.tenants.api_keys import same_text

API_KEY_HEADER: Final = "X-API-Key"
ROOT_KEY_HEADER: Final = "X-CA-Root-Key"
ROOT: Final = Caller(kind="root", scopes=("admin",))
ANONYMOUS_CALLER: Final = Caller(kind="anonymous")
PROBES: Final = frozenset({"/health", "/ready"})  # refusing them would stop a healthy instance
_KEYLESS: Final = "requests without a key"
_IPV6_NETWORK: Final = 64  # bits; one subscriber owns a whole network of addresses


async def admit(at: Runtime, state: RequestState, request: Request) -> None:
    """Set `state.caller`, None for an invalid key, and take a token from the caller's limit.

    Raises:
        RateLimited: the caller's limit is reached.
    """
    if request.method in ("GET", "HEAD") and request.scope["path"] in PROBES:
        state.caller = ANONYMOUS_CALLER
        return
    if PAGES.fullmatch(request.scope["path"]):
        await _admit_browser(at, state, request)
        return
    key, root = keys_of(request.headers)
    guesses = f"failed keys from {network_of(state.client)}"
    limited = at.settings.RATE_LIMIT_ENABLED
    if limited and root is None and key is not None and not at.keys.recently_valid(key):
        _check(state, at.callers.look(guesses, _now(at)), guesses)  # a flood of guesses must not read the store
    state.caller = caller = await identify(at, key, root)
    if limited:
        _limit(at, state, caller, guesses)


async def browser_caller(at: Runtime, session: Session | None) -> Caller:
    """Return the caller of a session while its key is valid, an anonymous one otherwise."""
    if at.settings.DISABLE_AUTH:
        return ROOT
    if session is None:
        return ANONYMOUS_CALLER
    if session.of_operator:
        return ROOT
    found = await at.keys.find(session.digest)
    if found is None:
        return ANONYMOUS_CALLER
    return Caller(kind="org", org=found.org, key_id=found.key_id, scopes=found.scopes)


async def _admit_browser(at: Runtime, state: RequestState, request: Request) -> None:
    """Set the caller of the session's cookie; headers with keys count for nothing here, and cookies nowhere else."""
    text = cookie(request.headers.get("cookie", ""), cookie_name(at.settings.ENVIRONMENT))
    session = at.sessions.read(text, _now(at))
    state.caller = await browser_caller(at, session)
    state.session = None if state.caller == ANONYMOUS_CALLER else session
    if at.settings.RATE_LIMIT_ENABLED:
        _limit(at, state, state.caller, "")


def _limit(at: Runtime, state: RequestState, caller: Caller | None, guesses: str) -> None:
    """Take a token from the caller's limit and from that of all callers of its kind."""
    if caller is None:
        each, together = guesses, "failed keys"
    elif caller.kind == "anonymous":
        each, together = f"address {network_of(state.client)}", _KEYLESS
    else:
        each, together = f"org {caller.org}", "keys"
    if caller != ROOT:
        state.taken = at.callers.take(each, _now(at))
        _check(state, state.taken, each)
    _take(at, state, "the operator" if caller == ROOT else together)


def admits_refused_head(at: Runtime, address: str) -> bool:
    """Count a request head that could not be read as a request without a key; False over that limit."""
    if not at.settings.RATE_LIMIT_ENABLED:
        return True
    each = at.callers.take(f"address {address}", _now(at))
    return each.allowed and at.all_callers.take(_KEYLESS, _now(at)).allowed


async def identify(at: Runtime, key: str | None, root: str | None) -> Caller | None:
    """Return the caller that the keys belong to, an anonymous one without a key, None for an invalid key."""
    if at.settings.DISABLE_AUTH:
        return ROOT
    if root is not None:
        expected = at.settings.CONVERGENCE_ROOT_KEY.get_secret_value()
        return ROOT if expected and same_text(root, expected) else None
    if key is None:
        return ANONYMOUS_CALLER
    found = await at.keys.verify(key)
    return None if found is None else Caller(kind="org", org=found.org, key_id=found.key_id, scopes=found.scopes)


def keys_of(headers: Headers) -> tuple[str | None, str | None]:
    """Return the org's and the operator's key, stripped; an empty header counts as missing."""
    key, root = headers.get(API_KEY_HEADER, "").strip(), headers.get(ROOT_KEY_HEADER, "").strip()
    return key or None, root or None


def _take(at: Runtime, state: RequestState, kind: str) -> None:
    """Take a token from the limit that all callers of one kind share."""
    _check(state, at.all_callers.take(kind, _now(at)), f"{kind}, all together")


def _check(state: RequestState, taken: Taken, whose: str) -> None:
    if not taken.allowed:
        state.taken = taken
        message = f"The limit of {taken.limit} requests a minute for {whose} is reached."
        raise RateLimited(message, retry_after_s=taken.retry_after_s)


def network_of(address: str) -> str:
    """Return how a caller is counted: an IPv4 address unchanged, and the network of an IPv6 address."""
    text = address.partition("%")[0]
    if text.startswith("["):  # "[2001:db8::1]:443"
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # "203.0.113.7:51234": some proxies append the port
        text = text.partition(":")[0]
    try:
        caller = ipaddress.ip_address(text)
    except ValueError:
        return address
    if isinstance(caller, ipaddress.IPv6Address):
        caller = caller.ipv4_mapped or caller
    if isinstance(caller, ipaddress.IPv4Address):
        return str(caller)
    return str(ipaddress.IPv6Network((caller, _IPV6_NETWORK), strict=False))


def _now(at: Runtime) -> float:
    return at.services.clock.now().timestamp()
