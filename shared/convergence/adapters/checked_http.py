"""The HTTP transport of steps: it connects to the very address that it checked.

A name that is resolved twice may answer twice (DNS rebinding): public for the check, private for the call. So the name
is resolved once, when a connection is made; the addresses are checked, and one of them is connected to, while host
header and TLS still speak of the name. A request says how far it may reach in its extension `reach`; connections are
shared only between requests of the same reach. Proxies of the environment are not used: they would resolve again.

Idle connections lie in a stack for each host. httpcore's own pool looks at all of its connections for each request,
which costs more than the request itself once hundreds are open.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx

from convergence.errors import Transient
from convergence.processors.hosts import DEFAULT_REACH, Reach, check_addresses

if TYPE_CHECKING:
    import ssl

Resolve = Callable[[str, int], Awaitable[list[str]]]
IDLE_S: Final = 30.0
IDLE_MAX: Final = 512  # for one host; how many are open at once is bounded by the steps that run
_Place = tuple[Reach, bytes, bytes, int | None]  # reach, scheme, host, port


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the system's order kept. Raises `OSError` or `UnicodeError` for none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over checked connections.

    Raises what httpx's own transport raises, `StepFailed` for an address out of reach, `Transient` for a name without.
    """

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._idle: dict[_Place, deque[httpcore.AsyncHTTPConnection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        place = (request.extensions.get("reach", DEFAULT_REACH), url.raw_scheme, url.raw_host, url.port)
        connection = await self._connection(place, asked.url.origin)
        try:
            with _as_httpx():
                answer = await connection.handle_async_request(asked)
        except BaseException:
            await connection.aclose()
            raise
        body = _Body(answer.stream, lambda: self._keep(place, connection))
        return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close the connections that nobody uses."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()

    async def _connection(self, place: _Place, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """Return the connection used last; those that lay too long, or that the other side closed, go."""
        idle = self._idle.setdefault(place, deque())
        while idle and idle[0].has_expired():
            await idle.popleft().aclose()
        while idle:
            connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        if self._tls is None and place[1] == b"https":
            self._tls = httpx.create_ssl_context()
        network = _Network(place[0], self._resolve)
        return httpcore.AsyncHTTPConnection(origin, self._tls, keepalive_expiry=IDLE_S, network_backend=network)

    async def _keep(self, place: _Place, connection: httpcore.AsyncHTTPConnection) -> None:
        idle = self._idle[place]
        if connection.is_idle() and len(idle) < IDLE_MAX:
            idle.append(connection)
        else:
            await connection.aclose()


class _Network(httpcore.AsyncNetworkBackend):
    """Connections to checked addresses."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check all, connect to the first that answers."""
        addresses = await self._addresses(host, port, timeout)
        check_addresses(host, addresses, self._reach)
        for place, address in enumerate(addresses, 1):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if place == len(addresses):
                    raise
        raise Transient(f"the host {host!r} has no address")

    async def _addresses(self, host: str, port: int, seconds: float | None) -> list[str]:
        try:
            async with asyncio.timeout(seconds):
                return await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in {seconds} s") from error
        except (OSError, UnicodeError) as error:  # a host that is no name at all is a UnicodeError
            raise Transient(f"the host {host!r} cannot be resolved") from error


class _Body(httpx.AsyncByteStream):
    """An answer's body; when it is closed the connection is free for the next call."""

    def __init__(self, stream: Any, release: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._release: Callable[[], Awaitable[None]] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            await self._stream.aclose()
            await release()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpx has an error of the same name for each of httpcore's."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
