"""A small HTTP/1.1 server on loopback over h11: GET and POST, keep-alive, and full control of what goes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import h11

_READ: Final = 65_536


class Request(NamedTuple):
    """`query` in order, so that a repeated name keeps all its values; header names in lower case."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """`cut` breaks the connection in the middle of the body; `delay_s` is how long the answer takes."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: bool = False
    delay_s: float = 0.0


class HttpServer:
    """Serves one handler on 127.0.0.1."""

    def __init__(self, handler: Callable[[Request], Response]) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> str:
        """Listen and return `http://127.0.0.1:{port}`; port 0 takes a free one."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs connection callbacks as tasks"
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, h11.RemoteProtocolError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # stop() asks for it; a cancelled connection task would be reported as an error
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while (request := await _receive(connection, reader)) is not None:
            response = self._handler(request)
            if response.delay_s:
                await asyncio.sleep(response.delay_s)
            headers = [
                ("content-type", response.content_type),
                ("content-length", str(len(response.body))),
                *response.headers.items(),
            ]
            writer.write(connection.send(h11.Response(status_code=response.status, headers=headers)) or b"")
            if response.cut:
                writer.write(connection.send(h11.Data(data=response.body[: len(response.body) // 2])) or b"")
                await writer.drain()
                return
            writer.write(connection.send(h11.Data(data=response.body)) or b"")
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    """Return the next whole request; None when the client has hung up."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None, "h11 ends no message that did not begin"
            url = urlsplit(head.target.decode("ascii"))
            headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in head.headers}
            query = parse_qsl(url.query, keep_blank_values=True)
            return Request(head.method.decode("ascii"), url.path, query, headers, bytes(body))
        else:  # ConnectionClosed, PAUSED
            return None
