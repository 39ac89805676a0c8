"""Browser sessions of the dashboard: a signed cookie that names the key it was opened with, never the key itself.

A session lasts eight hours. It is checked against the stored key with each request, so it ends with the key; it is
signed with a key derived from the operator's key, so a new operator's key ends all sessions. Cookies are read below
`/ui` only, where every form carries a token of its session: a cookie alone changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LIFETIME_S: Final = 8 * 3600
_TEXT_MAX: Final = 2_000  # of a cookie; ours have about 200 characters
_ROOT: Final = "root"  # in place of a key's digest


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in: `digest` is the SHA-256 of the org's key, empty for the operator. `opened_at`: epoch seconds."""

    digest: str
    opened_at: int
    nonce: str

    @property
    def of_operator(self) -> bool:
        """True for a session that was opened with the operator's key."""
        return self.digest == ""


class Sessions:
    """Opens and reads sessions. `root_key` may be empty: then sessions last as long as this process."""

    def __init__(self, root_key: str) -> None:
        secret = root_key.encode() if root_key else secrets.token_bytes(32)
        self._offered = ""
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"convergence/ui/session/1").derive(secret)

    def open(self, digest: str, now: float) -> tuple[str, Session]:
        """Return the cookie's text and the session. Each sign-in has a nonce of its own."""
        session = Session(digest, int(now), secrets.token_urlsafe(16))
        fields = orjson.dumps([session.digest or _ROOT, session.opened_at, session.nonce])
        payload = base64.urlsafe_b64encode(fields).decode()
        return f"{payload}.{self._mac('session', payload)}", session

    def read(self, text: str, now: float) -> Session | None:
        """Return the session of a cookie; None when it was changed, is over, or was signed with another key."""
        payload, _, mac = text.rpartition(".")
        if len(text) > _TEXT_MAX or not text.isascii() or not hmac.compare_digest(mac, self._mac("session", payload)):
            return None
        try:
            digest, opened_at, nonce = orjson.loads(base64.urlsafe_b64decode(payload))
        except (binascii.Error, ValueError):
            return None
        if not opened_at <= now < opened_at + LIFETIME_S:
            return None
        return Session("" if digest == _ROOT else str(digest), int(opened_at), str(nonce))

    def offer(self) -> str:
        """Return a token that opens a session of the operator, for a link on the operator's own screen.

        It is valid as long as this process, and there is one at a time.
        """
        self._offered = secrets.token_urlsafe(32)
        return self._offered

    def is_offered(self, token: str) -> bool:
        """Return whether a link's token is the one that was offered."""
        return self._offered != "" and hmac.compare_digest(token.encode(), self._offered.encode())

    def token(self, session: Session | None) -> str:
        """Return what the forms of a session carry; without one (authentication is off), this process's."""
        return self._mac("form", "" if session is None else f"{session.digest}/{session.nonce}")

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def cookie_name(environment: str) -> str:
    """Return the cookie's name; outside development browsers tie `__Host-` to this host and to https."""
    return "convergence" if environment == "development" else "__Host-convergence"


def cookie(header: str, name: str) -> str:
    """Return a cookie's text from the request's header, empty when it is missing."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
