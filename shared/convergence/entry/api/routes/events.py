"""A run as it moves, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header
from starlette.responses import StreamingResponse

from convergence.engine.store import require_run
from convergence.engine.views import runs as views
from convergence.engine.views.models import Move
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.problems import documented
from convergence.entry.api.routes.run_status import RunId
from convergence.entry.api.runtime import At, Runtime

router = APIRouter(prefix="/pipelines", tags=["state"])
LOOK_S: Final = 0.5
KEEP_ALIVE_LOOKS: Final = 30
EVENT: Final = {  # as a client sees one; the data is a `Move` as JSON
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"enum": ["move", "end"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


@router.get(
    "/events/{org}/{run_id}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": EVENT}}, "description": "One event a move."},
        **documented(404),
    },
)
async def events(
    org: OrgName,
    run_id: RunId,
    at: At,
    _: Reader,
    last_event_id: Annotated[str | None, Header(max_length=300, description="Go on behind this event.")] = None,
) -> StreamingResponse:
    """Send each move of the run and its steps, then `end` when the run has ended."""
    await require_run(at.services, org, run_id)
    return StreamingResponse(_stream(at, org, run_id, last_event_id), media_type="text/event-stream")


async def _stream(at: Runtime, org: str, run_id: str, last_seen: str | None) -> AsyncIterator[bytes]:
    """Look again and again: it works beside any worker, in this process or elsewhere."""
    sent = 0
    quiet = 0
    while True:
        ended = (await require_run(at.services, org, run_id)).run.terminal  # before the moves: they are complete then
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
