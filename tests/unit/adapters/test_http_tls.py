"""TLS of steps: the certificate is checked for the name, though the connection goes to a checked address."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from convergence.adapters.http.transport import CheckedTransport
from convergence.adapters.local.clock import SystemClock

NAME = "api.acme.example"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate for `name` that is its own authority, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = SystemClock().now()  # TLS asks the machine's clock, too
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*plain))
    return path


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
