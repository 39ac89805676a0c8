"""The HTTP transport of steps: aiohttp below httpx, connections to checked addresses, bounded answers.

A request says in its extensions how far it may reach (`reach`) and how large its answer may be (`bytes_max`).
Connections are shared only between requests of the same reach. Proxies of the environment are not used: they would
resolve names again. Cookies are not kept, redirects not followed.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from convergence.adapters.http.body import BYTES_MAX, BoundedBody, is_compressed
from convergence.adapters.http.connector import Resolve, connector, resolve
from convergence.adapters.http.errors import as_httpx
from convergence.domain.addresses import DEFAULT_REACH, Reach, check_reachable
from convergence.ports.http.hosts import check_host

LINE_MAX: Final = 16 * 1024  # bytes of one header of an answer
HEADERS_MAX: Final = 128
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_BREAKS: Final = re.compile(rb"[\r\n\0]")
# Headers of the connection (RFC 9110, section 7.6.1) and of the message's length are the client's alone: a tenant's
# could end a message early, and the rest would be read as a call of the next who uses the connection.
_OWN: Final = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
_UNASKED: Final = ("accept", "accept-encoding", "content-type", "user-agent")  # aiohttp would add its own


class CheckedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over checked connections, to hosts that the step may call (`ports.http.hosts`).

    Raises what httpx's own transport raises, and `StepFailed` for an address out of reach, an answer that is too large
    or in an encoding that was not requested, `Transient` for a name without an address.
    """

    def __init__(
        self, resolve: Resolve = resolve, *, tls: ssl.SSLContext | None = None, reach: Reach = DEFAULT_REACH
    ) -> None:
        """`reach` holds for requests that say "loopback" or nothing: production narrows it to "public".

        `tls` says which authorities are trusted; None: those of httpx's list, as `SSL_CERT_FILE` may change it.
        """
        self._resolve, self._tls, self._reach = resolve, tls, reach
        self._pools: dict[tuple[Reach, str], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        url, reach = request.url, request.extensions.get("reach", DEFAULT_REACH)
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https", request=request)
        check_host(url.raw_host.decode("ascii"))
        reach = self._reach if reach == DEFAULT_REACH else reach
        check_reachable(url.raw_host.decode("ascii"), reach)
        _check_headers(request)
        with as_httpx(request):
            response = await self._pool(reach, url.scheme).handle_async_request(request)
        try:
            if response.status_code < 200:
                raise httpx.RemoteProtocolError("the answer switches to another protocol", request=request)
            compressed = is_compressed(response.headers, url.host)
        except BaseException:
            await response.aclose()
            raise
        if compressed:
            del response.headers["content-encoding"]
            response.headers.pop("content-length", None)
        assert isinstance(response.stream, httpx.AsyncByteStream), "an async transport's answer"
        response.stream = BoundedBody(
            response.stream,
            request,
            compressed=compressed,
            bytes_max=request.extensions.get("bytes_max", BYTES_MAX),
        )
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        while self._pools:
            await self._pools.popitem()[1].aclose()

    def _pool(self, reach: Reach, scheme: str) -> AiohttpTransport:
        pool = self._pools.get((reach, scheme))
        if pool is None:
            tls = self._own_tls() if scheme == "https" else None
            session = aiohttp.ClientSession(
                connector=connector(reach, self._resolve, tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_UNASKED,
                max_line_size=LINE_MAX,
                max_field_size=LINE_MAX,
                max_headers=HEADERS_MAX,
            )
            # The session's connector holds the certificates; httpx-aiohttp would load them once more for itself.
            unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            pool = self._pools[reach, scheme] = AiohttpTransport(verify=unused, client=session)
        return pool

    def _own_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _check_headers(request: httpx.Request) -> None:
    """Leave out headers that only the client may set. Raises `LocalProtocolError` for what would begin another line."""
    for name, value in request.headers.raw:
        if _TOKEN.fullmatch(name) is None:
            raise httpx.LocalProtocolError(f"{name!r} is not a name of a header", request=request)
        if _BREAKS.search(value) is not None:
            raise httpx.LocalProtocolError(f"the header {name.decode()} holds a line break", request=request)
    for own in _OWN & request.headers.keys():
        del request.headers[own]
