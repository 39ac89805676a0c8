"""Connections to addresses that were checked.

A name that is resolved twice may resolve differently (DNS rebinding): to a public address for the check, to a private
one for the call. So a name is resolved once for each connection, its addresses are checked, and aiohttp connects to
one of them, while host header and TLS still use the name. aiohttp does not resolve what looks like an address;
the transport checks such hosts before the call. Every socket is checked once more when it is made, so that no path
around resolver and transport ends at a private address.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from convergence.domain.addresses import Reach, check_addresses, may_connect
from convergence.errors import Transient

if TYPE_CHECKING:
    import ssl

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import AddrInfoType, Connection, SocketFactoryType

Resolve = Callable[[str, int], Awaitable[list[str]]]
RESOLVE_S: Final = 10.0
IDLE_S: Final = 30.0


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host in the system's order. Raises `OSError` or `UnicodeError` if there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connector(reach: Reach, resolve: Resolve, tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """Return a pool of connections to addresses within `reach`. How many are open is bounded by the steps that run."""
    return _Connector(
        resolver=CheckedResolver(reach, resolve),
        use_dns_cache=False,
        socket_factory=_sockets(reach),
        ssl=True if tls is None else tls,
        limit=0,
        keepalive_timeout=IDLE_S,
    )


class _Connector(aiohttp.TCPConnector):
    """A pool that does not hand out a connection on which data arrived since its last answer.

    aiohttp would take such bytes for the answer to the next call.
    """

    @property
    def closed(self) -> bool:
        """True also when the loop has ended: nothing can be closed then, and aiohttp does not warn about it."""
        return super().closed or self._loop.is_closed()

    def __del__(self, *modules: Any) -> None:
        """See `closed`."""
        if not self.closed:
            super().__del__(*modules)

    async def _get(self, key: ConnectionKey, traces: list[aiohttp.tracing.Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                break
            connection.close()
        return connection


class CheckedResolver(AbstractResolver):
    """Resolves names to addresses within `reach`."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach, self._resolve = reach, resolve

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both families are always asked for
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            StepFailed: one of them is out of reach.
            Transient: there are none, or no answer within `RESOLVE_S`.
        """
        try:
            async with asyncio.timeout(RESOLVE_S):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError; an impossible name is a UnicodeError
            raise Transient(f"the host {host!r} cannot be resolved") from error
        if not addresses:
            raise Transient(f"the host {host!r} has no address")
        check_addresses(host, addresses, self._reach)
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is open."""


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": flags}


def _sockets(reach: Reach) -> SocketFactoryType:
    def make(info: AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = info
        if not may_connect(str(address[0]), reach):
            raise PermissionError(errno.EPERM, f"the address {address[0]} may not be called")
        return socket.socket(family=family, type=kind, proto=proto)

    return make
