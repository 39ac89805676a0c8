"""The HTTP transport of steps: it connects to the very address that it checked.

A name that is resolved twice may answer twice (DNS rebinding): public for the check, private for the call. So the name
is resolved once, when a connection is made; the addresses are checked, and one of them is connected to, while host
header and TLS still speak of the name. A request says how far it may reach in its extension `reach`; connections are
shared only between requests of the same reach. Proxies of the environment are not used: they would resolve again.
"""

from __future__ import annotations

import asyncio
import socket
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
CONNECTIONS_MAX: Final = 1_000  # as many as steps may wait for at once, and more
IDLE_S: Final = 30.0


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the system's order kept. Raises `OSError` or `UnicodeError` for none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedTransport(httpx.AsyncBaseTransport):
    """One pool of connections for each reach. Raises what httpx's own transport raises, and `StepFailed` for an
    address out of reach."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._pools: dict[Reach, httpcore.AsyncConnectionPool] = {}
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
        with _as_httpx():
            answer = await self._pool(request.extensions.get("reach", DEFAULT_REACH)).handle_async_request(asked)
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, reach: Reach) -> httpcore.AsyncConnectionPool:
        pool = self._pools.get(reach)
        if pool is None:
            self._tls = self._tls or httpx.create_ssl_context()
            pool = self._pools[reach] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=IDLE_S,
                network_backend=_Network(reach, self._resolve),
            )
        return pool


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
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpx has an error of the same name for each of httpcore's."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
