"""A small HTTP server that takes pushes: what a deployed function is to Pub/Sub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from convergence.entry.push.envelope import read_envelope
from convergence.ports.bus import Ack, Handler

Answering = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""(path, headers in lower case, body) → status"""


class PushSink:
    """Serves on a free port of the running loop; use it as an async context manager."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> PushSink:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                status = await self._answer(request.split()[1], headers, body)
                length = "" if status == 204 else "Content-Length: 0\r\n"
                writer.write(f"HTTP/1.1 {status} Answer\r\n{length}\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side hung up, or the sink ends
        finally:
            self._open.discard(task)
            writer.close()


def answering(handler: Handler, topic: str) -> Answering:
    """Return the edge of a handler: its `Ack` is 204, its `Retry` 503, an error 500 (design: docs/engine.md §2)."""

    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> int:
        delivery = read_envelope(body, topic).delivery
        try:
            return 204 if isinstance(await handler(delivery), Ack) else 503
        except Exception:  # the edge: whatever a handler raises means "deliver again"
            return 500

    return answer
