"""Stream the transitions of a run as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from convergence.engine.store import require_run
from convergence.engine.views import runs as views
from convergence.engine.views.models import Move
from convergence.entry.api.admission import identify, keys_of
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.problems import documented, problem_of
from convergence.entry.api.routes.run_status import RunId
from convergence.entry.api.runtime import At, Caller, RequestState, Runtime, request_state
from convergence.entry.api.streams import Streams
from convergence.errors import ConvergenceError, Denied, NotFound
from convergence.tenants.orgs import check_runnable

router = APIRouter(prefix="/pipelines", tags=["state"])
LOOK_S: Final = 0.5
LONGEST_S: Final = 900.0  # of a stream; then its client connects again, and continues after what it has seen
KEEP_ALIVE_LOOKS: Final = 30
CHECK_LOOKS: Final = 4  # a revoked key ends its streams within about two seconds
EVENT: Final = {  # as a client sees one; the data is a `Move` as JSON
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"enum": ["move", "end"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


class EventStream(StreamingResponse):
    """Server-sent events. The place is taken when the answer begins, so that whatever ends it gives the place back."""

    def __init__(self, events: AsyncIterator[bytes], streams: Streams, org: str, state: RequestState) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._streams, self._org, self._state = streams, org, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, or answer that too many streams are open."""
        try:
            self._streams.enter(self._org)
        except ConvergenceError as error:
            self._state.code = error.code
            await problem_of(self._state.request_id, error)(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._org)


@router.get(
    "/events/{org}/{run_id}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": EVENT}}, "description": "One event for each transition."},
        **documented(404),
    },
)
async def events(
    org: OrgName,
    run_id: RunId,
    at: At,
    caller: Reader,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=300, description="Continue after this event.")] = None,
) -> EventStream:
    """Send each move of the run and its steps, then `end` when the run has ended.

    It ends after 15 minutes at the latest, and within seconds when the key is no longer valid or its org may no longer
    run pipelines.
    """
    await require_run(at.services, org, run_id)
    if caller.kind == "org":
        check_runnable(await at.services.orgs.get(org))
    keys = keys_of(request.headers)

    async def allowed() -> bool:
        return await _allowed(at, caller, org, keys)

    events = stream_moves(at, org, run_id, last_event_id, allowed)
    return EventStream(events, at.streams, org, request_state(request))


async def _allowed(at: Runtime, caller: Caller, org: str, keys: tuple[str | None, str | None]) -> bool:
    """Return whether the caller of a stream could open it again."""
    if await identify(at, *keys) != caller:
        return False
    if caller.kind == "org":
        try:
            check_runnable(await at.services.orgs.get(org))
        except (Denied, NotFound):
            return False
    return True


async def stream_moves(
    at: Runtime,
    org: str,
    run_id: str,
    last_seen: str | None,
    allowed: Callable[[], Awaitable[bool]],
    *,
    longest_s: float = LONGEST_S,
    counted: bool = False,
) -> AsyncIterator[bytes]:
    """Poll the store, so that it works with a worker in this process or elsewhere.

    `counted`: continue after the run's end until its end steps are done and its rows and warnings are counted.
    """
    sent = looks = 0
    quiet = 0
    while looks * LOOK_S < longest_s:
        looks += 1
        if looks % CHECK_LOOKS == 0 and not await allowed():
            return
        run = (await require_run(at.services, org, run_id)).run  # before the moves: they are complete then
        ended = run.terminal and not (counted and run.check_at is not None)
        moves = await views.transitions(at.services, org, run_id)
        if last_seen is not None:
            sent = next((n for n, move in enumerate(moves, 1) if _id(move) == last_seen), 0)
            last_seen = None
        for move in moves[sent:]:
            yield f"id: {_id(move)}\nevent: move\ndata: ".encode() + orjson.dumps(move) + b"\n\n"
        quiet = 0 if len(moves) > sent else quiet + 1
        sent = max(sent, len(moves))
        if ended:
            yield b"event: end\ndata: {}\n\n"
            return
        if quiet >= KEEP_ALIVE_LOOKS:
            quiet = 0
            yield b": still here\n\n"
        await at.services.clock.sleep(LOOK_S)


def _id(move: Move) -> str:
    return f"{move['at']}/{move['step_id'] or ''}/{move['status']}"
