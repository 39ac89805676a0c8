"""Read and write JSON with orjson: strict UTF-8, no NaN, a depth limit, and a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from convergence.errors import InvalidInput

_NOT_JSON: Final = object()


class Json(Response):
    """An answer that is JSON already: it is not validated a second time."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return orjson.dumps(content, default=str)  # Decimal and dates as text


class StrictRequest(Request):
    """A request whose body is judged once its key has been.

    FastAPI parses a body before the dependencies run, in which the key is checked. So a body that is not JSON is
    remembered here, and refused when the dependencies have run.
    """

    takes_body = True
    fault: RequestValidationError | None = None

    async def json(self) -> Any:
        """Return the parsed body, or what no model accepts for one that is not JSON."""
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            found = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
            self.fault = RequestValidationError([found])
            return _NOT_JSON


class StrictRoute(APIRoute):
    """A route whose body is read strictly; anything other than JSON is a 422, and so is a key that nothing reads."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler over a strict request."""
        handler = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            strict.takes_body = self.body_field is not None
            try:
                return await handler(strict)
            except RequestValidationError:
                if strict.fault is not None:
                    raise strict.fault from None
                raise

        return strictly


async def refuse_unread_body(request: Request) -> None:
    """Raise `InvalidInput` for a body with content where the route takes none; each check of a key ends with it."""
    if not isinstance(request, StrictRequest) or request.takes_body or request.method == "GET":
        return
    if await request.body() and (given := await request.json()):
        named = ", ".join(str(key)[:100] for key in list(given)[:5]) if isinstance(given, dict) else "a list or value"
        raise InvalidInput(f"this request does not take a body; yours has: {named}")
