"""Limit what a connection may send before a request is complete, and how long it may take.

uvicorn's parser has no limits of its own: an endless head fills the memory, a slow one keeps its connection
forever. The application limits bodies; this module limits heads, trailers, chunk extensions, unread answers and, with
`connections`, how many clients are connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from convergence.entry.api.admission import network_of
from convergence.entry.api.connections import Connections
from convergence.entry.api.middleware import BODY_S

HEAD_BYTES_MAX: Final = 65_536  # of a head; of trailers and chunk extensions between two pieces of a body
HEADERS_MAX: Final = 1_000
_PIECE: Final = 8_192  # bytes parsed at once: a head may exceed its limit by this much before it is refused
_TOO_LONG: Final = f"The head and the trailers of a request may have at most {HEAD_BYTES_MAX:,} bytes each."
_TOO_MANY: Final = f"A request may have at most {HEADERS_MAX:,} headers."
_FULL: Final = "Every connection of this server is in use; try again in a moment."


class _Phase(Enum):
    IDLE = auto()  # between two requests
    HEAD = auto()
    BODY = auto()  # and trailers


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with limits. Times are in seconds; the class holds them so that tests can shorten them.

    uvicorn makes the instances, so what all connections of a server share is in a class of it; see `bounded`.
    """

    open: ClassVar[Connections]
    admits_refused: ClassVar[Callable[[str], bool]]  # counts a refused head; False when it is not even answered
    head_s = 10.0  # from its first byte, or from the start of a connection
    body_s = BODY_S + 10.0  # the application answers first where it reads the body
    unread_s = 30.0  # for a client that takes no bytes of its answer
    farewell_s = 2.0  # for a refused client to read the reason

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._phase = _Phase.IDLE
        self._moves = 0  # phases begun on this connection
        self._watched = 0  # the move that the timer belongs to
        self._unparsed = 0  # bytes since the last progress
        self._header_count = 0
        self._fault: tuple[HTTPStatus, str] | None = None
        self._refused = False
        self._heard = False  # a byte
        self.address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._abort: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.address = network_of(self.client[0] if self.client else "")
        if not self.open.enter(self):
            transport.write(_answer(HTTPStatus.SERVICE_UNAVAILABLE, _FULL))
            transport.close()  # without a pause for the client to read: this one has no place
            return
        self._move(_Phase.HEAD)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        super().connection_lost(exc)
        self.open.leave(self)
        for timer in (self._timer, self._abort):
            if timer is not None:
                timer.cancel()

    def give_way(self) -> None:
        """Close the connection, which holds the place of another one."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse piece by piece, and refuse what grows without becoming complete."""
        self._heard = True
        for start in range(0, len(data), _PIECE):
            if self._refused or self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            self._unparsed += len(piece)
            super().data_received(piece)
            if self._unparsed > HEAD_BYTES_MAX:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LONG)
        if self._phase is _Phase.IDLE and self._unparsed:  # line ends before a request, which may go on forever
            self._move(_Phase.HEAD)
        self._watch()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._move(_Phase.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers are counted and dropped: the application has read its headers by then."""
        self._header_count += 1
        if self._header_count > HEADERS_MAX:
            self._fault = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_MANY)
            raise ValueError(_TOO_MANY)
        if self._phase is _Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a body, which may be empty."""
        super().on_headers_complete()
        self._move(_Phase.BODY)
        if not self.pipeline:  # otherwise an earlier request is still being answered
            self.open.sending(self)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        super().on_body(body)
        self._unparsed = 0

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self._move(_Phase.IDLE)
        self._header_count = 0
        if self.cycle.response_complete:
            self.open.idle(self)
        else:
            self.open.working(self)

    def on_response_complete(self) -> None:
        """Limit the wait for a client to take the last bytes."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_after(self.unread_s)
        elif not self.pipeline and self._phase is not _Phase.BODY:
            self.open.idle(self)

    def timeout_keep_alive_handler(self) -> None:
        """As above."""
        super().timeout_keep_alive_handler()
        self._abort_after(self.unread_s)

    def pause_writing(self) -> None:
        """As above, in the middle of an answer."""
        super().pause_writing()
        self._abort_after(self.unread_s)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        if self._abort is not None and not self._refused and not self.transport.is_closing():
            self._abort.cancel()
            self._abort = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused."""
        self._refuse(*(self._fault or (HTTPStatus.BAD_REQUEST, msg)))

    def _move(self, phase: _Phase) -> None:
        self._phase = phase
        self._moves += 1
        self._unparsed = 0

    def _watch(self) -> None:
        """Set the timer of the phase, once for each."""
        if self._watched == self._moves or self._refused:
            return
        self._watched = self._moves
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._phase is not _Phase.IDLE:
            limit_s = self.head_s if self._phase is _Phase.HEAD else self.body_s
            self._timer = self.loop.call_later(limit_s, self._late, limit_s)

    @property
    def timed(self) -> bool:
        """Whether the client has a limited time for what it is doing."""
        return self._timer is not None

    def _late(self, limit_s: float) -> None:
        if self.flow.read_paused:  # the server itself stopped reading: earlier requests are still being answered
            self._timer = self.loop.call_later(limit_s, self._late, limit_s)
            return
        what = "head" if self._phase is _Phase.HEAD else "body"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The {what} of the request did not arrive within {limit_s:g} s.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer, and close when the client had time to read it: unread bytes would reset the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self._timer is not None:
            self._timer.cancel()
        if self._heard and self._phase is not _Phase.BODY and not type(self).admits_refused(self.address):
            self.transport.abort()
            return
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:  # a second answer would garble the first
                self.transport.close()
                self._abort_after(self.unread_s)
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_answer(status, detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._abort_after(self.farewell_s)

    def _abort_after(self, seconds: float) -> None:
        if self._abort is None:
            self._abort = self.loop.call_later(seconds, self.transport.abort)


def bounded(
    connections: Connections, admits_refused: Callable[[str], bool], protocol: type[BoundedHttp] = BoundedHttp
) -> type[BoundedHttp]:
    """Return the protocol of one server.

    `admits_refused` counts a head that was refused before the application, which counts all others, could see it.
    """
    return type(protocol.__name__, (protocol,), {"open": connections, "admits_refused": staticmethod(admits_refused)})


def _answer(status: HTTPStatus, detail: str) -> bytes:
    code = "request.timeout" if status is HTTPStatus.REQUEST_TIMEOUT else "request.malformed"
    if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        code = "request.too_large"
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        code = "transient"
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail, "code": code}
    body = orjson.dumps(problem | {"errors": []})
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/problem+json\r\n\r\n".encode() + body
