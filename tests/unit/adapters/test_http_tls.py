"""TLS of steps: the certificate is checked for the name, though the connection goes to a checked address."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from tests.unit.adapters.certificates import certificate

NAME = "api.acme.example"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def called(presented: Path, trusted: Path) -> list[str]:
    """Call the API twice at an address of this machine; return what came, and over how many connections."""
    here, there = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=trusted)
    here.load_cert_chain(presented)
    connections: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("connection")
        while await reader.read(4096):
            writer.write(OK)
        writer.close()

    async def this_machine(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def main() -> list[str]:
        async with (
            await asyncio.start_server(answer, "127.0.0.1", 0, ssl=here) as server,
            httpx.AsyncClient(transport=CheckedTransport(this_machine, tls=there)) as client,
        ):
            url = f"https://{NAME}:{server.sockets[0].getsockname()[1]}/rows"
            return [(await client.get(url, extensions={"reach": "private"})).text for _ in range(2)]

    return asyncio.run(main()) + connections


def test_a_name_is_called_at_its_checked_address_under_its_own_certificate(tmp_path: Path) -> None:
    own = certificate(tmp_path, NAME)
    assert called(own, own) == ["ok", "ok", "connection"]


def test_a_certificate_of_another_name_ends_the_call(tmp_path: Path) -> None:
    other = certificate(tmp_path, "api.globex.example")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        called(other, other)


def test_an_untrusted_certificate_ends_the_call(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with pytest.raises(httpx.ConnectError, match="certificate"):
        called(certificate(tmp_path, NAME), certificate(tmp_path / "own", NAME))
