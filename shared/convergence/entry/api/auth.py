"""Check that a caller may do what a route does; a refusal never reveals whether the org exists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Path, Request, Security
from fastapi.security import APIKeyHeader

from convergence.config.model.pipeline import Pipeline
from convergence.entry.api.admission import API_KEY_HEADER, ROOT_KEY_HEADER
from convergence.entry.api.json import refuse_unread_body
from convergence.entry.api.runtime import Caller, request_state
from convergence.errors import Denied, NotFound, Unauthenticated
from convergence.tenants.orgs import SLUG

API_KEY: Final = APIKeyHeader(
    name=API_KEY_HEADER, scheme_name="org_api_key", description="A key of the org in the path.", auto_error=False
)
ROOT_KEY: Final = APIKeyHeader(
    name=ROOT_KEY_HEADER, scheme_name="admin_key", description="The operator's key.", auto_error=False
)
_NO_KEY: Final = "Send a valid key: X-API-Key for an org, X-CA-Root-Key for the operator."

OrgName = Annotated[str, Path(description="The org's slug.", examples=["acme"])]


async def identify(
    request: Request,
    _key: Annotated[str | None, Security(API_KEY)],  # checked before the routes; listed here for the OpenAPI document
    _root: Annotated[str | None, Security(ROOT_KEY)],
) -> Caller:
    """Return the caller, an anonymous one without a key. Raises `Unauthenticated` for an invalid key."""
    caller = request_state(request).caller
    if caller is None:
        raise Unauthenticated(_NO_KEY)
    return caller


async def _operator(request: Request, _root: Annotated[str | None, Security(ROOT_KEY)]) -> Caller:
    caller = request_state(request).caller
    if caller is None or caller.kind != "root":
        raise Unauthenticated("Send the operator's key as X-CA-Root-Key.")
    await refuse_unread_body(request)
    return caller


def check_known(caller: Caller) -> None:
    """Raise `Unauthenticated` for a call without a key."""
    if caller.kind == "anonymous":
        raise Unauthenticated(_NO_KEY)


def check(caller: Caller, org: str, scope: str) -> None:
    """Raise unless the caller may do what needs `scope` in `org`."""
    check_known(caller)
    if caller.kind == "org" and caller.org != org:
        raise Denied(f"This key does not belong to the org {org[:60]!r}.")
    if not caller.may(org, scope):
        raise Denied(f"This key lacks the scope {scope!r}.")


def check_org(caller: Caller, org: str, scope: str) -> None:
    """Raise unless the caller may do what needs `scope` in `org`, and `org` is a name that an org can have."""
    check(caller, org, scope)
    if not SLUG.fullmatch(org):  # the operator may name any org; document paths take valid slugs only
        raise NotFound(f"Unknown org: {org[:60]!r}.")


def check_run(caller: Caller, org: str, pipeline: Pipeline) -> None:
    """Raise unless the caller may run the pipeline: its `requires_auth` and `auth_type` name the key it needs."""
    if not pipeline.requires_auth and caller.kind == "anonymous":
        return
    if pipeline.auth_type == "admin_key" and caller.kind != "root":
        raise Denied(f"{pipeline.path} can only be run with the operator's key.")
    check(caller, org, "run")


def _needs(scope: str) -> Callable[[Request, OrgName, Caller], Awaitable[Caller]]:
    async def allowed(request: Request, org: OrgName, caller: Annotated[Caller, Depends(identify)]) -> Caller:
        check_org(caller, org, scope)
        await refuse_unread_body(request)
        return caller

    return allowed


async def _with_key(request: Request, caller: Annotated[Caller, Depends(identify)]) -> Caller:
    check_known(caller)
    await refuse_unread_body(request)
    return caller


Known = Annotated[Caller, Depends(identify)]
KeyHolder = Annotated[Caller, Depends(_with_key)]  # refused before the rest of the request is judged
Reader = Annotated[Caller, Depends(_needs("read"))]
Runner = Annotated[Caller, Depends(_needs("run"))]
Admin = Annotated[Caller, Depends(_needs("admin"))]
Operator = Annotated[Caller, Depends(_operator)]
