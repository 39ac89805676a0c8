"""Who asks, and may they? Keys come in headers; every refusal reads the same, whether the org exists or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Path, Request, Security
from fastapi.security import APIKeyHeader

from convergence.config.model import Pipeline
from convergence.entry.api.runtime import At, Caller, Runtime, Visit, visit_of
from convergence.errors import Denied, NotFound, RateLimited, Unauthenticated
from convergence.tenants.api_keys import same_text
from convergence.tenants.orgs import SLUG

API_KEY: Final = APIKeyHeader(
    name="X-API-Key", scheme_name="org_api_key", description="A key of the org in the path.", auto_error=False
)
ROOT_KEY: Final = APIKeyHeader(
    name="X-CA-Root-Key", scheme_name="admin_key", description="The operator's key.", auto_error=False
)
ROOT: Final = Caller(kind="root", scopes=("admin",))
NOBODY: Final = Caller(kind="nobody")
_NO_KEY: Final = "Send a key that lives: X-API-Key for an org, X-CA-Root-Key for the operator."

OrgName = Annotated[str, Path(description="The org's slug.", examples=["acme"])]


async def identify(
    request: Request,
    at: At,
    key: Annotated[str | None, Security(API_KEY)],
    root: Annotated[str | None, Security(ROOT_KEY)],
) -> Caller:
    """Return who asks, as `recognise` does."""
    return await recognise(at, visit_of(request), key, root)


async def recognise(at: Runtime, visit: Visit, key: str | None, root: str | None) -> Caller:
    """Return who asks, `nobody` without a key. Raises `Unauthenticated` for a wrong key, `RateLimited`."""
    caller = await _known(at, key, root)
    visit.caller = caller if caller is not None else NOBODY
    _limit(at, visit)
    if caller is None:
        raise Unauthenticated(_NO_KEY)
    return caller


async def _operator(request: Request, at: At, root: Annotated[str | None, Security(ROOT_KEY)]) -> Caller:
    caller = await identify(request, at, None, root)
    if caller.kind != "root":
        raise Unauthenticated("Send the operator's key as X-CA-Root-Key.")
    return caller


async def _known(at: Runtime, key: str | None, root: str | None) -> Caller | None:
    if at.settings.DISABLE_AUTH:
        return ROOT
    if root is not None:
        wanted = at.settings.CA_ROOT_API_KEY.get_secret_value()
        return ROOT if wanted and same_text(root, wanted) else None
    if key is None:
        return NOBODY
    found = await at.keys.verify(key)
    return None if found is None else Caller(kind="org", org=found.org, key_id=found.key_id, scopes=found.scopes)


def _limit(at: Runtime, visit: Visit) -> None:
    """Take a token of the org, or of the address for those without a good key; the operator has no such limit."""
    caller = visit.caller
    if not at.settings.RATE_LIMIT_ENABLED or caller is None or caller.kind == "root":
        return
    whose = f"org {caller.org}" if caller.kind == "org" else f"address {visit.client}"
    visit.taken = taken = at.callers.take(whose, at.services.clock.now().timestamp())
    if not taken.allowed:
        raise RateLimited(
            f"The limit of {taken.limit} requests a minute for {whose} is reached.", retry_after_s=taken.retry_after_s
        )


def check_known(caller: Caller) -> None:
    """Raise `Unauthenticated` for a call without a key."""
    if caller.kind == "nobody":
        raise Unauthenticated(_NO_KEY)


def check(caller: Caller, org: str, scope: str) -> None:
    """Raise unless the caller may do what needs `scope` in `org`."""
    check_known(caller)
    if caller.kind == "org" and caller.org != org:
        raise Denied(f"This key does not open {org[:60]!r}.")
    if not caller.may(org, scope):
        raise Denied(f"This key lacks the scope {scope!r}.")


def check_org(caller: Caller, org: str, scope: str) -> None:
    """Raise unless the caller may do what needs `scope` in `org`, and `org` is a name that an org can have."""
    check(caller, org, scope)
    if not SLUG.fullmatch(org):  # the operator may ask for anything; a path of documents is made of names only
        raise NotFound(f"Unknown org: {org[:60]!r}.")


def check_run(caller: Caller, org: str, pipeline: Pipeline) -> None:
    """Raise unless the caller may run the pipeline: its `requires_auth` and `auth_type` say what that takes."""
    if not pipeline.requires_auth and caller.kind == "nobody":
        return
    if pipeline.auth_type == "admin_key" and caller.kind != "root":
        raise Denied(f"{pipeline.path} is run with the operator's key only.")
    check(caller, org, "run")


def _needs(scope: str) -> Callable[[OrgName, Caller], Awaitable[Caller]]:
    async def allowed(org: OrgName, caller: Annotated[Caller, Depends(identify)]) -> Caller:
        check_org(caller, org, scope)
        return caller

    return allowed


Known = Annotated[Caller, Depends(identify)]
Reader = Annotated[Caller, Depends(_needs("read"))]
Runner = Annotated[Caller, Depends(_needs("run"))]
Admin = Annotated[Caller, Depends(_needs("admin"))]
Operator = Annotated[Caller, Depends(_operator)]
