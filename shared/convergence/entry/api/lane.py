"""The two requests that come by the thousand, served without the framework's search for what they want.

A plain `POST …/run/{org}/{path}` and a plain `GET …/status/{org}/{run_id}` call what their routes call, in the same
order. Whatever is not plain (a query, another content type, a body that is no object, a malformed header) goes to the
routes with nothing taken from it, so there is one place that words refusals of form. Measured: a fifth less processor
time for an accepted run, half of it for a status (docs/benchmarks.md).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from convergence.engine import views
from convergence.entry.api.auth import check_org, recognise
from convergence.entry.api.json import Json
from convergence.entry.api.problems import refusal
from convergence.entry.api.routes import run
from convergence.entry.api.runtime import Runtime, Visit
from convergence.entry.api.starting import IDEMPOTENCY_KEY
from convergence.errors import ConvergenceError

_KEY: Final = re.compile(IDEMPOTENCY_KEY)


@dataclass(frozen=True, slots=True)
class Named:
    """The template of a served path, where the router would have left its route."""

    path: str


_RUN: Final = Named("/pipelines/run/{org}/{path}")  # a router knows its paths without their prefix
_STATUS: Final = Named("/pipelines/status/{org}/{run_id}")


class Lane:
    """Between the edge and the routes."""

    def __init__(self, app: ASGIApp, runtime: Runtime, prefix: str) -> None:
        self._app = app
        self._runtime = runtime
        self._run, self._status = f"{prefix}/pipelines/run/", f"{prefix}/pipelines/status/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope["query_string"] and not scope.get("root_path"):
            path: str = scope["path"]
            if scope["method"] == "POST" and path.startswith(self._run):
                org, slash, rest = path.removeprefix(self._run).partition("/")
                if org and slash:
                    await self._start(scope, receive, send, org, rest)
                    return
            elif scope["method"] == "GET" and path.startswith(self._status):
                org, slash, run_id = path.removeprefix(self._status).partition("/")
                if org and run_id and "/" not in run_id:
                    await self._look(scope, receive, send, org, run_id)
                    return
        await self._app(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send, org: str, path: str) -> None:
        headers = _headers(scope)
        key = headers.get(b"idempotency-key")
        again = receive
        if headers.get(b"content-type") == b"application/json" and (
            key is None or _KEY.fullmatch(key.decode("latin-1"))
        ):
            body, again = await _body(receive)
            parameters = _object(body)
            if parameters is not None:
                scope["route"], scope["path_params"] = _RUN, {"org": org, "path": path}
                visit: Visit = scope["state"]["visit"]
                try:
                    caller = await recognise(self._runtime, visit, *_keys(headers))
                    name = None if key is None else key.decode("latin-1")
                    answer: Response = await run.start(
                        self._runtime, caller, org, path, parameters, idempotency_key=name
                    )
                except ConvergenceError as error:
                    answer = refusal(visit, error)
                await answer(scope, again, send)
                return
        await self._app(scope, again, send)

    async def _look(self, scope: Scope, receive: Receive, send: Send, org: str, run_id: str) -> None:
        scope["route"], scope["path_params"] = _STATUS, {"org": org, "run_id": run_id}
        visit: Visit = scope["state"]["visit"]
        try:
            caller = await recognise(self._runtime, visit, *_keys(_headers(scope)))
            check_org(caller, org, "read")
            answer: Response = Json(await views.status(self._runtime.services, org, run_id))
        except ConvergenceError as error:
            answer = refusal(visit, error)
        await answer(scope, receive, send)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Of a header that came twice the first one counts, as everywhere."""
    return dict(reversed(scope["headers"]))


def _keys(headers: dict[bytes, bytes]) -> tuple[str | None, str | None]:
    """Return the org's and the operator's key; an empty header is none, as for the routes."""
    key, root = headers.get(b"x-api-key", b""), headers.get(b"x-ca-root-key", b"")
    return key.decode("latin-1") or None, root.decode("latin-1") or None


async def _body(receive: Receive) -> tuple[bytes, Receive]:
    """Return the body, empty when it did not come whole, and a `receive` that tells once more how it came."""
    seen: deque[Message] = deque()
    broken: list[HTTPException] = []
    try:
        while not seen or seen[-1].get("more_body", False):
            seen.append(await receive())
    except HTTPException as error:  # too large or too slow
        broken.append(error)

    async def again() -> Message:
        if seen:
            return seen.popleft()
        if broken:
            raise broken[0]
        return await receive()

    whole = not broken and seen[-1]["type"] == "http.request"
    return b"".join(message.get("body", b"") for message in seen) if whole else b"", again


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
