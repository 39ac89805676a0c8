"""Give every request an id, limits on body and rate, answer headers, a log line and an audit entry.

Plain ASGI, because this runs for each request, and because a body has to be counted while it arrives.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence.entry.api.admission import admit
from convergence.entry.api.audit import MUTATING, audit
from convergence.entry.api.problems import page_of, problem, problem_of, retry_after
from convergence.entry.api.runtime import RequestState, Runtime
from convergence.errors import ConvergenceError

logger = logging.getLogger("convergence.api")
BODY_MAX: Final = 1_048_576
KEYLESS_BODY_MAX: Final = 65_536  # it is read before the route can refuse the caller
BODY_S: Final = 60.0  # for the whole body
_UNROUTED: Final = "(none)"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


class RequestMiddleware:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        state = RequestState(self._request_id(request), caller_address(request, self._runtime.settings.FORWARDED_HOPS))
        scope.setdefault("state", {})["convergence"] = state
        answer = _Answer(send, state)
        began = time.perf_counter()
        try:
            await self._serve(scope, _Body(request, receive), answer, state)
        finally:
            await self._after(scope, state, answer.status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, body: _Body, answer: _Answer, state: RequestState) -> None:
        try:
            await admit(self._runtime, state, Request(scope))
            if state.caller is None or state.caller.kind == "anonymous":
                body.most = KEYLESS_BODY_MAX
            if body.announced > body.most:
                await self._refuse(scope, body, answer, state, 413, "request.too_large", body.too_large)
                return
            await self._app(scope, body.receive, answer.send)
        except ConvergenceError as error:  # over a limit, or the key store is unreachable
            state.code = error.code
            made = await page_of(Request(scope), error.http_status, str(error), error.code, retry_after(error))
            await (made or problem_of(state.request_id, error))(scope, body.receive, answer.send)
        except Exception as error:  # a bug becomes an error's answer; its traceback is in the log
            logger.exception("request %s failed", state.request_id, exc_info=error)
            if answer.status:
                raise
            detail = f"Internal error; find the details in the log under the request id {state.request_id}."
            await self._refuse(scope, body, answer, state, 500, "internal", detail)

    async def _refuse(
        self, scope: Scope, body: _Body, answer: _Answer, state: RequestState, status: int, code: str, detail: str
    ) -> None:
        """Answer with an error, as a page to people and as a problem document to programs."""
        state.code = code
        made = await page_of(Request(scope), status, detail, code)
        await (made or problem(state.request_id, status, code, detail))(scope, body.receive, answer.send)

    def _request_id(self, request: Request) -> str:
        given = request.headers.get("x-request-id", "")
        return given if _REQUEST_ID.fullmatch(given) else self._runtime.services.ids.new("req")

    async def _after(self, scope: Scope, state: RequestState, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNROUTED).replace(":path}", "}")
        method = scope["method"] if status != 405 and route != _UNROUTED else "(other)"  # a client may invent methods
        self._runtime.metrics.answered(method, route, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            words = (scope["method"], route, status, seconds * 1000, state.request_id)
            logger.info("%s %s %d %.1f ms %s", *words, extra={"org": scope.get("path_params", {}).get("org")})
        turned_away = state.taken is not None and not state.taken.allowed  # a flood must not fill the log
        if scope["method"] in MUTATING and not turned_away:
            await audit(self._runtime, scope, state, route, status)


def caller_address(request: Request, hops: int) -> str:
    """Return the client's address: what the outermost of our `hops` proxies appended, or the peer without proxies.

    Anything before it in `X-Forwarded-For` was sent by the client and is not verified.
    """
    named = [part.strip() for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    if 0 < hops <= len(named):
        return named[-hops]
    return request.client.host if request.client is not None else ""


_LENGTH_DIGITS: Final = len(str(BODY_MAX))


def _announced(length: str) -> int:
    """Return a `content-length`; digits beyond any body that is taken are not read, however many they are."""
    digits = length.lstrip("0")
    if not digits.isascii() or not digits.isdecimal():
        return 0
    return int(digits) if len(digits) <= _LENGTH_DIGITS else BODY_MAX + 1


class _Body:
    """The body on its way in: counted, and timed as a whole, so that a slow sender holds nothing for long."""

    def __init__(self, request: Request, receive: Receive) -> None:
        self.announced = _announced(request.headers.get("content-length", "0"))
        self.most = BODY_MAX
        self._receive = receive
        self._seen = 0
        self._until: float | None = None
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # from here on it waits for a disconnect, which may take as long as the answer
            return await self._receive()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + BODY_S
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"The body did not arrive within {BODY_S:g} s.") from None
        self._seen += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._seen > self.most:
            raise HTTPException(413, self.too_large)
        return message

    @property
    def too_large(self) -> str:
        without = " of a request without a valid key" if self.most < BODY_MAX else ""
        return f"A body{without} may have at most {self.most:,} bytes."


class _Answer:
    """The answer on its way out, with the headers that all answers have. `status` is 0 before it began."""

    def __init__(self, send: Send, state: RequestState) -> None:
        self._send = send
        self._state = state
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", ()))
            own = {name for name, _ in given}
            message["headers"] = [*given, *(each for each in self._headers() if each[0] not in own)]
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[str, Any]] = [
            ("x-request-id", self._state.request_id),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ]
        taken = self._state.taken
        if taken is not None:
            headers += [
                ("x-ratelimit-limit", taken.limit),
                ("x-ratelimit-remaining", taken.remaining),
                ("x-ratelimit-reset", round(taken.reset_s)),
            ]
        return [(name.encode(), str(value).encode()) for name, value in headers]
