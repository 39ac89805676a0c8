"""Read and write JSON with orjson: strict UTF-8, no NaN, a depth limit, and a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from convergence.errors import InvalidInput


class Json(Response):
    """An answer that is JSON already: it is not validated a second time."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return orjson.dumps(content, default=str)  # Decimal and dates as text


class _StrictRequest(Request):
    async def json(self) -> Any:
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose body is read strictly; anything other than JSON is a 422, and so is a key that nothing reads."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler over a strict request."""
        handler = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            if self.body_field is None and request.method != "GET":
                await _refuse_keys(strict)
            return await handler(strict)

        return strictly


async def _refuse_keys(request: Request) -> None:
    """Raise `InvalidInput` for a body with content where the route takes none."""
    if await request.body() and (given := await request.json()):
        named = ", ".join(str(key)[:100] for key in list(given)[:5]) if isinstance(given, dict) else "a list or value"
        raise InvalidInput(f"this request has no body; yours has: {named}")
