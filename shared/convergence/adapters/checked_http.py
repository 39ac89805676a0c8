"""The HTTP transport of steps: it connects to the very address that it checked.

A name that is resolved twice may answer twice (DNS rebinding): public for the check, private for the call. So the name
is resolved once, when a connection is made; the addresses are checked, and one of them is connected to, while host
header and TLS still speak of the name. A request says how far it may reach in its extension `reach`; connections are
shared only between requests of the same reach. Proxies of the environment are not used: they would resolve again.

Idle connections lie in a stack for each host: what a call costs does not grow with how many are open.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

import httpx

from convergence.adapters.checked_http_connection import Connection
from convergence.errors import Transient
from convergence.processors.http.hosts import DEFAULT_REACH, Reach, check_addresses

if TYPE_CHECKING:
    import ssl

Resolve = Callable[[str, int], Awaitable[list[str]]]
IDLE_S: Final = 30.0
IDLE_MAX: Final = 512  # for one host; how many are open at once is bounded by the steps that run
_Place = tuple[Reach, str, str, int]  # reach, scheme, host, port
_PORTS: Final = {"http": 80, "https": 443}


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the system's order kept. Raises `OSError` or `UnicodeError` for none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over checked connections.

    Raises what httpx's own transport raises, `StepFailed` for an address out of reach, `Transient` for a name without.
    """

    def __init__(self, resolve: Resolve = resolve, *, tls: ssl.SSLContext | None = None) -> None:
        """`tls` says whose certificates count; None: those of httpx's list, as `SSL_CERT_FILE` may change it."""
        self._resolve = resolve
        self._idle: dict[_Place, deque[Connection]] = {}
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        url, wait_s = request.url, request.extensions.get("timeout", {})
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https", request=request)
        host, port = url.raw_host.decode("ascii"), _PORTS[url.scheme] if url.port is None else url.port
        place = (request.extensions.get("reach", DEFAULT_REACH), url.scheme, host, port)
        connection = self._lying(place) or await self._connect(place, wait_s.get("connect"))
        try:
            status, headers = await connection.send(request, wait_s.get("read"), wait_s.get("write"))
        except BaseException:
            connection.close()
            raise
        body = _Body(connection, wait_s.get("read"), self._idle.setdefault(place, deque()))
        return httpx.Response(status, headers=headers, stream=body)

    async def aclose(self) -> None:
        """Close the connections that nobody uses."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _lying(self, place: _Place) -> Connection | None:
        """Return the connection used last, if one is left; those that lay too long, or were closed, go."""
        idle = self._idle.get(place)
        if not idle:
            return None
        oldest_s = asyncio.get_running_loop().time() - IDLE_S
        while idle and (idle[0].idle_since < oldest_s or not idle[0].is_free):
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if connection.is_free:
                return connection
            connection.close()
        return None

    async def _connect(self, place: _Place, wait_s: float | None) -> Connection:
        """Resolve, check all addresses, connect to the first that answers."""
        reach, scheme, host, port = place
        addresses = await self._addresses(host, port, wait_s)
        check_addresses(host, addresses, reach)
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        tls = self._tls if scheme == "https" else None
        for number, address in enumerate(addresses, 1):
            try:
                return await Connection.connect(address, port, tls, host, wait_s)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise Transient(f"the host {host!r} has no address")

    async def _addresses(self, host: str, port: int, seconds: float | None) -> list[str]:
        try:
            async with asyncio.timeout(seconds):
                return await self._resolve(host, port)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"{host} was not resolved in {seconds} s") from error
        except (OSError, UnicodeError) as error:  # a host that is no name at all is a UnicodeError
            raise Transient(f"the host {host!r} cannot be resolved") from error


class _Body(httpx.AsyncByteStream):
    """An answer's body; when it is closed the connection is free for the next call."""

    def __init__(self, connection: Connection, read_s: float | None, idle: deque[Connection]) -> None:
        self._connection: Connection | None = connection
        self._parts = connection.body(read_s)
        self._idle = idle

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_free and len(self._idle) < IDLE_MAX:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()
