"""Render templates as answers: escaped, under a strict policy, errors as pages too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import cache, partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from convergence.domain.model_errors import message_of
from convergence.entry.api.admission import ANONYMOUS_CALLER
from convergence.entry.api.problems import code_of, retry_after
from convergence.entry.api.runtime import request_state, runtime_of
from convergence.entry.ui import formats
from convergence.entry.ui.open_letters import open_letters, open_letters_of
from convergence.entry.ui.statuses import shown
from convergence.errors import ConvergenceError, InvalidInput, Unauthenticated

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"
SIGN_IN: Final = "/ui/sign-in"
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with `no-referrer` browsers send forms without their origin, which is checked
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
NAVIGATION: Final = (  # pages of an org
    ("pipelines", "Pipelines"),
    ("pipelines/history", "History"),
    ("pipelines/schedules", "Schedules"),
    ("dead-letters", "Dead letters"),
    ("costs", "Costs"),
    ("quality", "Quality"),
    ("settings", "Settings"),
)
_TITLES: Final = {
    403: "You may not see this",
    404: "There is no such page",
    405: "This address does not accept such requests",
    413: "The request is too large",
    429: "Too many requests",
    500: "Something went wrong here",
}
_THEMES: Final = frozenset({"light", "dark"})


async def page(request: Request, template: str, *, status: int = 200, **data: Any) -> HTMLResponse:
    """Return the page; every template also gets the caller, the form's token, the theme and the time."""
    at, state = runtime_of(request), request_state(request)
    now = at.services.clock.now()
    theme = request.cookies.get("theme", "")
    caller = state.caller or ANONYMOUS_CALLER  # of a request that was refused before its caller was known
    org = data.get("org", request.path_params.get("org", ""))
    common = {
        "caller": caller,
        "csrf": at.sessions.token(state.session),
        "theme": theme if theme in _THEMES else "",
        "back": _address(request) if request.method == "GET" else "",
        "now": now,
        "ago": partial(formats.ago, now=now),
        "nav": NAVIGATION,
        "active": "",
        "org": org,
        "open_letters": await open_letters_of(request, org) if org and caller.may(org, "read") else "",
        "signs_in": not at.settings.DISABLE_AUTH,
    }
    with formats.as_of(now):
        text = _environment().get_template(template).render(common | data)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def redirect(path: str) -> Response:
    """Return the answer that sends the browser to a page of ours."""
    return RedirectResponse(path, status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)


async def error_page(
    request: Request, status: int, detail: str, code: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a page, with the id under which the log has the request."""
    state = request_state(request)
    state.code = code
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    answer = await page(
        request, "error.html", status=status, title=title, detail=detail, code=code, org="", request_id=state.request_id
    )
    answer.headers.update(headers or {})
    return answer


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with its errors rendered."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except Unauthenticated:
                reopens = request.method == "GET" and not request.url.path.startswith("/ui/open/")
                return redirect(f"{SIGN_IN}?next={quote(_address(request), safe='')}" if reopens else SIGN_IN)
            except ConvergenceError as error:
                return await error_page(request, error.http_status, str(error), error.code, retry_after(error))
            except RequestValidationError as error:
                wrong = "; ".join(f"{each['loc'][-1]}: {message_of(each)}" for each in error.errors()[:10])
                return await error_page(request, 422, wrong, InvalidInput.code)
            except HTTPException as error:
                return await error_page(request, error.status_code, error.detail, code_of(error))
            finally:
                if request.method == "POST":
                    open_letters(request).forget(request.path_params.get("org", ""))

        return answered


def _address(request: Request) -> str:
    """Return the path and the query, so that a filtered view is found again."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS
    environment.globals |= {"shown": shown, "asset": asset}
    return environment


@cache
def asset(name: str) -> str:
    """Return the address of a static file; it changes with the file, so that browsers may keep it."""
    return f"/ui/static/{name}?v={sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"
