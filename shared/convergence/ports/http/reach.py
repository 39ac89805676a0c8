"""What keeps an answer away, for people: which host, which port, and what went wrong there."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

_PORTS: Final = {"https": 443, "http": 80}
_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpx.ConnectTimeout, "does not accept the connection in time"),
    (httpx.TimeoutException, "does not answer in time"),
    (httpx.RemoteProtocolError, "closes the connection"),
    (httpx.ConnectError, "does not accept connections"),
)


def unreachable(error: httpx.HTTPError) -> str:
    """Return `host:port` and what it did, with the error's class; path and query, which may hold a key, are left out.

    Such as `127.0.0.1:9999 refuses the connection (ConnectError)`.
    """
    what = _system(error) or next((words for kind, words in _KINDS if isinstance(error, kind)), "does not answer")
    return f"{_place(error)} {what} ({type(error).__name__})"


def _place(error: httpx.HTTPError) -> str:
    try:
        url = error.request.url
    except RuntimeError:  # the error was raised outside of a request
        return "the server"
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or _PORTS.get(url.scheme, 443)}"


def _system(error: BaseException) -> str:
    """Return what the operating system said, wherever in the chain of causes it is."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "has a certificate that cannot be trusted"
        if isinstance(cause, socket.gaierror):
            return "has a name that does not resolve"
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return "refuses the connection"
        if isinstance(cause, OSError) and cause.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
            return "is on a network that cannot be reached"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        inner = getattr(found, "os_error", None)  # aiohttp keeps the system's error beside its own
        found = inner if isinstance(inner, BaseException) and inner is not found else found.__cause__
