"""Errors as RFC 9457 problem documents with a stable `code`."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from convergence.domain.model_errors import message_of
from convergence.entry.api.json import Json
from convergence.entry.api.runtime import request_state
from convergence.errors import FINDINGS_MAX, ConfigErrors, ConvergenceError, InvalidInput

logger = logging.getLogger("convergence.api")
PageOf = Callable[[Request, int, str, str, Mapping[str, str] | None], Awaitable[Response]]
PAGES: Final = re.compile(r"/ui(/.*)?", re.DOTALL)  # addresses that people look at
MEDIA_TYPE: Final = "application/problem+json"
_CODES: Final[Mapping[int, str]] = {
    400: InvalidInput.code,
    404: "not_found",
    405: "method_not_allowed",
    408: "request.timeout",
    413: "request.too_large",
}


class Fault(BaseModel):
    """One of several mistakes: where it is and what is wrong."""

    path: str
    message: str
    where: str = ""


class Problem(BaseModel):
    """RFC 9457, with a stable `code` that programs may rely on; wordings may improve."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["Pipeline not found: openai/cost/usage"])
    code: str = Field(examples=["not_found"])
    request_id: str = Field(examples=["req_5f0c2d9a"])
    errors: list[Fault] = Field(default_factory=list)


class ProblemResponse(Json):
    """A problem document."""

    media_type = MEDIA_TYPE


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented errors of a route; every route may answer 401, 403, 413, 422, 429, 500, 503."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({400, 401, 403, 413, 422, 429, 500, 503, *statuses})
    }


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Return the answer."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        "errors": list(errors),
    }
    return ProblemResponse(content, status_code=status, headers=dict(headers or {}))


def problem_of(request_id: str, error: ConvergenceError) -> ProblemResponse:
    """Return the answer to a `ConvergenceError`, which has its own status and code."""
    headers = retry_after(error)
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "ApiKey"
    errors: list[dict[str, str]] = []
    if isinstance(error, ConfigErrors):
        errors = [{"where": each.where, "path": each.path, "message": each.message} for each in error.problems]
    return problem(request_id, error.http_status, error.code, str(error), errors=errors, headers=headers)


def retry_after(error: ConvergenceError) -> dict[str, str]:
    """Return the header that says when to try again; nothing for an error that does not know."""
    retry_after_s = getattr(error, "retry_after_s", None)
    return {} if retry_after_s is None else {"retry-after": str(max(1, math.ceil(retry_after_s)))}


def code_of(error: HTTPException) -> str:
    """Return the code of an error that the framework raised."""
    return _CODES.get(error.status_code, "http")


def install(app: FastAPI, page: PageOf) -> None:
    """Let every error of the application end as a problem document, or below the dashboard's path as a page."""
    app.state.error_page = page
    app.add_exception_handler(ConvergenceError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def page_of(
    request: Request, status: int, detail: str, code: str, headers: Mapping[str, str] | None = None
) -> Response | None:
    """Return the page for an error below the dashboard's path; None elsewhere, and where it cannot be made."""
    if not PAGES.fullmatch(request.scope["path"]):
        return None
    try:
        made: Response = await request.app.state.error_page(request, status, detail, code, headers)
    except Exception as error:
        logger.exception("the page of an error could not be made", exc_info=error)
        return None
    return made


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ConvergenceError), "registered for it"
    state = request_state(request)
    state.code = error.code
    made = await page_of(request, error.http_status, str(error), error.code, retry_after(error))
    return made or problem_of(state.request_id, error)


async def _invalid(request: Request, error: Exception) -> Response:
    """Name each field: `body.limits.daily: …`. Values are not shown: they may be secrets."""
    assert isinstance(error, RequestValidationError), "registered for it"
    state = request_state(request)
    state.code = InvalidInput.code
    reported = islice(error.errors(), FINDINGS_MAX)
    faults = [{"path": ".".join(map(str, each["loc"])), "message": _sentence(each)} for each in reported]
    detail = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
    return problem(state.request_id, 422, InvalidInput.code, detail, errors=faults)


def _sentence(error: Mapping[str, Any]) -> str:
    return "there is no such field" if error["type"] == "extra_forbidden" else message_of(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    state = request_state(request)
    state.code = code_of(error)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    made = await page_of(request, error.status_code, error.detail, state.code, headers)
    if made is not None:
        return made
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(allowed(request.app.openapi(), request.url.path))
    return problem(state.request_id, error.status_code, state.code, error.detail, headers=headers)


def allowed(document: Mapping[str, Any], path: str) -> list[str]:
    """Return the methods of the route that fits a path best; the router names those of its first match only."""
    for template in sorted(document["paths"], key=lambda each: each.count("{")):
        pattern = re.escape(template).replace(r"\{path\}", ".*")
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), path):
            return sorted(method.upper() for method in document["paths"][template])
    return []
