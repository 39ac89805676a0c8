"""An error on the network names host and port, and what happened there, but neither path nor query."""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpx
import pytest

from convergence.bootstrap.http_client import HttpClient
from convergence.ports.http.reach import unreachable


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_a_refused_connection_names_the_port() -> None:
    port = closed_port()

    async def call() -> str:
        http = HttpClient("dev")
        try:
            await http.client().get(f"http://127.0.0.1:{port}/path?key=secret", extensions={"reach": "private"})
        except httpx.HTTPError as error:
            return unreachable(error)
        finally:
            await http.close()
        raise AssertionError("nothing listens there")

    assert asyncio.run(call()) == f"127.0.0.1:{port} refuses the connection (ConnectError)"


def caused(error: httpx.HTTPError, cause: Exception) -> httpx.HTTPError:
    error.__cause__ = cause
    return error


REQUEST = httpx.Request("GET", "https://api.shop.example/v1?key=secret")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectTimeout("x", request=REQUEST), "api.shop.example:443 does not accept the connection in time"),
        (httpx.ReadTimeout("x", request=REQUEST), "api.shop.example:443 does not answer in time"),
        (httpx.RemoteProtocolError("x", request=REQUEST), "api.shop.example:443 closes the connection"),
        (
            caused(httpx.ConnectError("x", request=REQUEST), socket.gaierror(-2, "x")),
            "api.shop.example:443 has a name that does not resolve",
        ),
        (
            caused(httpx.ConnectError("x", request=REQUEST), ssl.SSLCertVerificationError("x")),
            "api.shop.example:443 has a certificate that cannot be trusted",
        ),
        (
            httpx.ConnectError("x", request=httpx.Request("GET", "http://[::1]:81/")),
            "[::1]:81 does not accept connections",
        ),
        (httpx.ReadError("x"), "the server does not answer"),
    ],
)
def test_each_kind_has_words_for_people(error: httpx.HTTPError, words: str) -> None:
    assert unreachable(error) == f"{words} ({type(error).__name__})"
