"""One HTTP/1.1 connection of a client: a call at a time, parsed in C (llhttp), raising httpx's errors.

The general stack (httpcore over h11 over anyio) spends more processor time on a small page than all else that happens
to it. This one does what steps need: keep-alive, chunked and length-bound bodies, time limits, and a sender that
waits when nobody takes what came (RFC 9112).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Self, cast

import httptools
import httpx

if TYPE_CHECKING:
    import ssl

HEAD_MAX: Final = 64 * 1024  # bytes of status line and headers
WAITING_MAX: Final = 256 * 1024  # bytes that came and were not taken: then the sender waits
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_TARGET: Final = re.compile(rb"[!-~]+")

Headers = list[tuple[bytes, bytes]]


def head_of(request: httpx.Request) -> bytes:
    """Return request line and headers. Raises `LocalProtocolError` for what would begin another line."""
    target = request.extensions.get("target", request.url.raw_path)
    if _TARGET.fullmatch(target) is None:
        raise httpx.LocalProtocolError("a path holds a space or a control character", request=request)
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    for name, value in request.headers.raw:
        if _TOKEN.fullmatch(name) is None:
            raise httpx.LocalProtocolError(f"{name!r} is no name of a header", request=request)
        lines.append(b"%b: %b" % (name, value))
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise httpx.LocalProtocolError("a header holds a line break", request=request)
    return head + b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """Open it with `connect`; for each call `send`, then iterate `body`, then ask `is_free`. The rest is asyncio's."""

    _ended: bool  # the answer came whole
    _keep: bool  # and the other side keeps the connection
    _paused: bool  # nobody takes what comes

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._lost: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._full: asyncio.Future[None] | None = None  # done when the socket takes more
        self._begin("")
        self.idle_since = 0.0

    @classmethod
    async def connect(
        cls, address: str, port: int, tls: ssl.SSLContext | None, name: str, wait_s: float | None
    ) -> Self:
        """Open a connection to `address`, speaking TLS to `name`. Raises `ConnectError`, `ConnectTimeout`."""
        named = None if tls is None else name
        try:
            async with asyncio.timeout(wait_s):
                loop = asyncio.get_running_loop()
                return (await loop.create_connection(cls, address, port, ssl=tls, server_hostname=named))[1]
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"{name} does not answer at {address}") from error
        except OSError as error:  # TLS has errors of this family, too
            raise httpx.ConnectError(str(error)) from error

    async def send(self, request: httpx.Request, read_s: float | None, write_s: float | None) -> tuple[int, Headers]:
        """Send a request; return status and headers of its answer.

        Raises `LocalProtocolError`, `RemoteProtocolError`, `ReadError`, `ReadTimeout`, `WriteTimeout`.
        """
        self._begin(request.method)
        transport, body = self._transport, request.stream
        assert transport is not None, "only `connect` makes connections"
        assert isinstance(body, httpx.AsyncByteStream), "an async client's request"
        transport.write(head_of(request))
        chunked = "transfer-encoding" in request.headers
        if chunked or "content-length" in request.headers:
            async for part in body:
                transport.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked and part else part)
                await self._drained(write_s)
        if chunked:
            transport.write(b"0\r\n\r\n")
        while not self._status:
            await self._more(read_s)
        return self._status, self._headers

    async def body(self, read_s: float | None) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes. Raises `RemoteProtocolError` for one that is cut, and as `send`."""
        while True:
            if self._came:
                part = b"".join(self._came) if len(self._came) > 1 else self._came[0]
                self._came.clear()
                self._came_bytes = 0
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                yield part
            elif self._ended:
                return
            else:
                await self._more(read_s)

    @property
    def is_free(self) -> bool:
        """Whether another call may go over it."""
        return self._ended and self._keep and self._lost is None and not self._came

    def close(self) -> None:
        """Let go of the socket."""
        if self._transport is not None:
            self._transport.abort()

    def _begin(self, method: str) -> None:
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._status = self._head_bytes = self._came_bytes = 0
        self._headers: Headers = []
        self._came: list[bytes] = []
        self._ended = self._keep = self._paused = False

    async def _more(self, read_s: float | None) -> None:
        """Return when more came."""
        if self._lost is not None:
            raise self._lost
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = None if read_s is None else loop.call_later(read_s, _late, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    async def _drained(self, write_s: float | None) -> None:
        if self._full is None:
            return
        try:
            async with asyncio.timeout(write_s):
                await self._full
        except TimeoutError as error:
            raise httpx.WriteTimeout("the other side takes nothing") from error

    def _fail(self, error: httpx.TransportError) -> None:
        self._lost = self._lost or error
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        if self._ended or not self._method:
            self._fail(httpx.RemoteProtocolError("an answer that nobody asked for"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"no HTTP/1.1: {error}"))
        self._head_bytes += len(data)
        if not self._status and self._head_bytes > HEAD_MAX:
            self._fail(httpx.RemoteProtocolError(f"headers of more than {HEAD_MAX} bytes"))
        if self._came_bytes > WAITING_MAX and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        names = {name.lower() for name, _ in self._headers}
        if exc is None and self._status and not names & {b"content-length", b"transfer-encoding"}:
            self._ended = True  # such a body ends with the connection
        cut = httpx.RemoteProtocolError("the connection was closed before the answer was whole")
        self._lost = self._lost or (cut if exc is None else httpx.ReadError(str(exc)))
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        self._full = self._full or asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    # What the parser calls; what is raised here fails the connection.

    def on_message_begin(self) -> None:
        if self._status:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # later ones are trailers
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an announcement: the answer follows
            self._headers.clear()
            return
        self._status = status
        self._ended = self._method == "HEAD"  # has the headers of a body, and none

    def on_body(self, body: bytes) -> None:
        self._came.append(body)
        self._came_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._status:
            self._ended, self._keep = True, self._parser.should_keep_alive()


def _late(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout("no answer in time"))
