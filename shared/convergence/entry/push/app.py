"""The push endpoint `POST /push/{topic}`, and the instance's health.

204 acknowledges; after any other answer Pub/Sub delivers again: 503 asks for a later delivery, 500 reports an internal
error. The body is not read before the token is checked.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from convergence.engine.services import Services
from convergence.entry.push.concurrency_limit import ConcurrencyLimit
from convergence.entry.push.deliveries import Subscribed, deliver
from convergence.entry.push.envelope import BODY_MAX
from convergence.errors import ConvergenceError, NotFound, Throttled, Transient, Unauthenticated, did_you_mean
from convergence.ports.bus import Answer, Retry

logger = logging.getLogger(__name__)
PREFIX: Final = "/push"
_BODY_S: Final = 30.0
_RETRY_S: Final = 1

Check = Callable[[str], Awaitable[None]]  # a bearer token; raises Unauthenticated, Denied or Transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What an endpoint needs. `services` and `subscribed` are called when the first delivery has been admitted.

    `check` is None where deliveries are not signed, as in development. `limit_s` is how long a delivery may take.
    """

    topics: frozenset[str]
    services: Callable[[], Services]
    subscribed: Callable[[str], Subscribed]
    check: Check | None
    concurrency: ConcurrencyLimit
    limit_s: float


def create_push(push: Push) -> Starlette:
    """Return the endpoint as an ASGI application."""

    async def receive(request: Request) -> Response:
        topic = request.path_params["topic"]
        try:
            await _authenticate(push.check, request)
            if topic not in push.topics:
                raise NotFound(
                    f"this function is not subscribed to the topic {topic!r}.{did_you_mean(topic, push.topics)}"
                )
        except ConvergenceError as error:
            logger.warning("%s: a delivery is refused: %s", topic[:100], error)
            return _answer(error.http_status, error)
        try:
            answer = await push.concurrency.run(_work(push, topic, request), limit_s=push.limit_s)
        except _TooLarge as error:
            return _answer(413, error)
        except Transient as error:
            logger.warning("%s: a delivery waits: %s", topic, error)
            return _answer(503, error)
        except ConvergenceError as error:  # a permission, an index: delivered again until the operator fixes it
            logger.error("%s: a delivery failed: %s", topic, error, exc_info=error)
            return _answer(500, error)
        except Exception as error:  # the outermost layer: after any error Pub/Sub delivers the message again
            logger.exception("%s: a delivery failed", topic, exc_info=error)
            return _answer(500, ConvergenceError("internal error; the log has the traceback"))
        if isinstance(answer, Retry):
            return _answer(
                503, Throttled(answer.reason, retry_after_s=_RETRY_S if answer.after_s is None else answer.after_s)
            )
        return Response(status_code=204)

    async def health(_: Request) -> Response:
        return _well("the process answers")

    async def ready(_: Request) -> Response:
        try:
            await push.services().documents.get("orgs/readiness")
        except ConvergenceError as error:
            logger.warning("not ready: %s", error)
            return _answer(503, error)
        return _well("the store answers")

    return Starlette(
        routes=[
            Route(PREFIX + "/{topic}", receive, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
        ]
    )


async def _authenticate(check: Check | None, request: Request) -> None:
    if check is None:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send Pub/Sub's token: Authorization: Bearer …")
    await check(token.strip())


async def _work(push: Push, topic: str, request: Request) -> Answer:
    body = await _body(request)
    return await deliver(push.services(), push.subscribed(topic), topic, body, request.headers)


async def _body(request: Request) -> bytes:
    """Read the body with limits on its size and time, so that a stalled client does not keep its slot."""
    pieces, size = [], 0
    try:
        async with asyncio.timeout(_BODY_S):
            async for piece in request.stream():
                size += len(piece)
                if size > BODY_MAX:
                    raise _TooLarge(f"a delivery may have at most {BODY_MAX:,} bytes")
                pieces.append(piece)
    except TimeoutError:
        raise Transient(f"the body did not arrive within {_BODY_S:g} s") from None
    except ClientDisconnect:
        raise Transient("the client disconnected before the whole body arrived") from None
    return b"".join(pieces)


class _TooLarge(ConvergenceError):
    code = "request.too_large"
    http_status = 413


def _well(detail: str) -> Response:
    return Response(orjson.dumps({"status": 200, "detail": detail}), media_type="application/json")


def _answer(status: int, error: ConvergenceError) -> Response:
    headers: dict[str, str] = {}
    if status == 503:
        headers["retry-after"] = str(max(_RETRY_S, math.ceil(getattr(error, "retry_after_s", _RETRY_S))))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    content = orjson.dumps({"status": status, "code": error.code, "detail": str(error)})
    return Response(content, status_code=status, headers=headers, media_type="application/json")
