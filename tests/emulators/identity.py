"""Google's part in signed pushes: a key, tokens of service accounts, and the page with the certificates."""

from __future__ import annotations

import base64
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID: Final = "k1"


class Identity:
    """Signs tokens with a key of its own and serves that key's certificate."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> str:
        """Serve the certificates; return their URL."""
        page = json.dumps({KEY_ID: public_pem(self.key)}).encode()

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("cache-control", "public, max-age=3600")
                self.send_header("content-length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/certs"

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def token(self, audience: str, service_account: str) -> str:
        """Return a token that is good for an hour."""
        return signed(self.key, {}, {"aud": audience, "email": service_account})


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """Return the public key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def signed(key: rsa.RSAPrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token of Google's with these changes. Who checks it looks at the machine's clock."""
    now = int(datetime.now(UTC).timestamp())  # noqa: TID251 - as above
    good = {"iss": "https://accounts.google.com", "email_verified": True, "iat": now, "exp": now + 3600}
    text = _part({"alg": "RS256", "kid": KEY_ID, "typ": "JWT"} | header) + b"." + _part(good | claims)
    return (text + b"." + _encoded(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))).decode()


def _part(value: dict[str, Any]) -> bytes:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
