"""Sign in and out, the theme, static files, and the page for paths that do not exist."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import FileResponse, Response

from convergence.entry.api.admission import ROOT, identify, network_of
from convergence.entry.api.runtime import At, Runtime, request_state
from convergence.entry.api.sessions import LIFETIME_S, cookie_name
from convergence.entry.ui.access import visitor
from convergence.entry.ui.forms import Form, Signed, read_form
from convergence.entry.ui.pages import HEADERS, STATIC, PageRoute, page, redirect
from convergence.errors import NotFound, RateLimited, Unauthenticated

router = APIRouter(route_class=PageRoute)
rest = APIRouter(route_class=PageRoute)
_KEPT_S: Final = 31_536_000  # static files: their address changes with them
_FILES: Final = frozenset(file.name for file in STATIC.iterdir())
_THEME_S: Final = 365 * 86_400
_FAILED: Final = "This key is not valid: it may have been revoked or have expired."


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Return a static file of the package."""
    if name not in _FILES:
        raise NotFound("There is no such file.")
    headers = {**HEADERS, "cache-control": f"public, max-age={_KEPT_S}, immutable"}
    return FileResponse(STATIC / name, headers=headers)


@router.get("/")
async def start(request: Request) -> Response:
    """Send the visitor where they work."""
    caller = visitor(request)
    return redirect("/ui/admin" if caller.kind == "root" else f"/ui/{caller.org}/pipelines")


@router.get("/sign-in")
async def sign_in_page(request: Request, next: Annotated[str, Query(max_length=2_000)] = "") -> Response:  # noqa: A002 - the name in the address
    """Show the form."""
    return await page(request, "sign_in.html", next=next, failed="", org="")


@router.post("/sign-in")
async def sign_in(request: Request, at: At, form: Annotated[Form, Depends(read_form)]) -> Response:
    """Open a session for a key. It gets a nonce of its own, so that no earlier cookie can become it."""
    _check_rate(request, at)
    key = form.get("key", "").strip()
    operator = await identify(at, None, key or None) == ROOT
    caller = ROOT if operator else await identify(at, key or None, None)
    if caller is None or caller.kind == "anonymous":
        return await page(request, "sign_in.html", status=401, next=form.get("next", ""), failed=_FAILED, org="")
    return _opened(at, "" if operator else hashlib.sha256(key.encode()).hexdigest(), form.get("next", ""))


@router.get("/open/{token}")
async def open_offered(
    request: Request,
    token: str,
    at: At,
    next: Annotated[str, Query(max_length=2_000)] = "",  # noqa: A002 - the name in the address
) -> Response:
    """Open the operator's session for the link that `convergence demo --open` prints on the operator's screen."""
    _check_rate(request, at)
    if not at.sessions.is_offered(token):
        raise Unauthenticated("This link is not valid, or its server has ended.")
    return _opened(at, "", next)


@router.post("/sign-out")
async def sign_out(at: At, _: Signed) -> Response:
    """Forget the session."""
    answer = redirect("/ui/sign-in")
    _set(answer, at, "", 0)
    return answer


@router.post("/theme")
async def theme(at: At, form: Signed) -> Response:
    """Remember light, dark, or neither."""
    answer = redirect(local(form.get("back", "")) or "/ui/")
    chosen = form.get("theme", "")
    kept = chosen if chosen in ("light", "dark") else ""
    answer.set_cookie("theme", kept, max_age=_THEME_S if kept else 0, path="/ui", secure=_secure(at), samesite="lax")
    return answer


@rest.get("/{path:path}")
async def missing(request: Request) -> Response:
    """Answer for a path that no page has; who is not signed in is not told which exist."""
    visitor(request)
    raise NotFound("Nothing is served at this address.")


def local(path: str) -> str:
    """Return a path below `/ui` unchanged and anything else as empty: a link must not lead to another site."""
    safe = path.startswith("/ui/") and path.isascii() and path.isprintable() and "\\" not in path
    return path if safe and "//" not in path.partition("?")[0] else ""


def _opened(at: Runtime, digest: str, path: str) -> Response:
    """Return the answer that opens a session and leads to a page of ours."""
    text, _ = at.sessions.open(digest, at.services.clock.now().timestamp())
    answer = redirect(local(path) or "/ui/")
    _set(answer, at, text, LIFETIME_S)
    return answer


def _check_rate(request: Request, at: Runtime) -> None:
    """Raise `RateLimited` for an address that tries too many keys."""
    if not at.settings.RATE_LIMIT_ENABLED:
        return
    who = network_of(request_state(request).client)
    taken = at.signing_in.take(who, at.services.clock.now().timestamp())
    if not taken.allowed:
        message = f"The limit of {taken.limit} attempts to sign in a minute is reached; wait a moment."
        raise RateLimited(message, retry_after_s=taken.retry_after_s)


def _set(answer: Response, at: Runtime, text: str, lifetime_s: int) -> None:
    name = cookie_name(at.settings.ENVIRONMENT)
    answer.set_cookie(name, text, max_age=lifetime_s, path="/", secure=_secure(at), httponly=True, samesite="lax")


def _secure(at: Runtime) -> bool:
    return at.settings.ENVIRONMENT != "development"
