"""The errors of aiohttp as those of httpx, which processors know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

# httpx-aiohttp passes some of aiohttp's errors through and names others after what did not happen: a connection that
# was closed would be a ConnectTimeout. The first that fits counts.
_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (HttpProcessingError, httpx.RemoteProtocolError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),
)


@contextmanager
def as_httpx(request: httpx.Request) -> Iterator[None]:
    """Raise httpx's error for one of aiohttp's, also where httpx-aiohttp has chosen another."""
    try:
        yield
    except (aiohttp.ClientError, HttpProcessingError, ValueError, httpx.TransportError) as error:
        cause = error.__cause__ if isinstance(error, httpx.TransportError) else error
        for theirs, ours in _ERRORS:
            if isinstance(cause, theirs):
                raise ours(_message(cause), request=request) from cause
        raise


def _message(error: Exception) -> str:
    """Return the message without the URL, whose query may hold a credential."""
    return error.message if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError) else str(error)
