"""Envelope encryption under a Cloud KMS key.

Each ciphertext has a data key of its own, which KMS wraps; the key that wraps never leaves KMS. Data keys that KMS
unwrapped stay in memory for minutes, so a step costs no call. Rotation in KMS makes a new primary version: new
ciphertexts are sealed under it, old ones open as long as their version is enabled.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from convergence.adapters.gcp.keyring.kms import WrappingKey, foreign
from convergence.errors import Denied
from convergence.ports.clock import Clock, Ids

_SCHEME: Final = "kms1"
_NONCE_BYTES: Final = 12  # NIST SP 800-38D §5.2.1.1: 96 bits
_KEY_BYTES: Final = 32


class _Sealed(NamedTuple):
    """`kms1.{key version}.{wrapped data key}.{nonce and ciphertext}`, the last two in URL-safe base64."""

    version: str
    wrapped: bytes
    body: bytes

    @classmethod
    def parse(cls, text: str) -> _Sealed:
        scheme, version, wrapped, body = (text.split(".") + [""] * 4)[:4]
        if scheme != _SCHEME or text.count(".") != 3:
            raise Denied(f"not a ciphertext of this keyring (scheme {scheme[:8]!r}). Store the credential again.")
        try:
            sealed = cls(version, base64.urlsafe_b64decode(wrapped), base64.urlsafe_b64decode(body))
        except (binascii.Error, ValueError) as error:
            raise foreign() from error
        if len(sealed.body) <= _NONCE_BYTES or not sealed.wrapped:
            raise foreign()
        return sealed

    def __str__(self) -> str:
        parts = (base64.urlsafe_b64encode(part).decode() for part in (self.wrapped, self.body))
        return ".".join((_SCHEME, self.version, *parts))


class CloudKmsKeyring:
    """`Keyring` over one symmetric key of Cloud KMS.

    Needs `cloudkms.cryptoKeyVersions.useToEncrypt` and `.useToDecrypt` on the key (role
    `roles/cloudkms.cryptoKeyEncrypterDecrypter`), no more.
    """

    def __init__(
        self,
        key: str,
        *,
        clock: Clock,
        ids: Ids,
        endpoint: str | None = None,
        cached_max: int = 1000,
        cached_s: float = 300.0,
    ) -> None:
        """Remember the key; nothing is called yet.

        Args:
            key: `projects/{p}/locations/{l}/keyRings/{r}/cryptoKeys/{k}`.
            clock: For the age of cached data keys and for pauses between attempts.
            ids: For jitter.
            endpoint: `host:port` of a stand-in, without TLS and credentials; None is Google Cloud.
            cached_max: Unwrapped data keys that stay in memory.
            cached_s: Seconds they stay; so long a key version that was disabled may still open what it opened before.
        """
        self._kms = WrappingKey(key, clock=clock, ids=ids, endpoint=endpoint)
        self._clock = clock
        self._cached_max, self._cached_for = cached_max, timedelta(seconds=cached_s)
        self._opened: OrderedDict[tuple[bytes, str], tuple[bytes, datetime]] = OrderedDict()  # the oldest first
        self._primary: tuple[str, datetime] | None = None

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        """Return `kms1.{key version}.{wrapped data key}.{nonce and ciphertext}`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        data_key, nonce = os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
        version, wrapped = await self._wrap(data_key, aad)
        body = nonce + AESGCM(data_key).encrypt(nonce, plaintext, _bound(version, aad))
        return str(_Sealed(version, wrapped, body))

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        """Return the plaintext, or raise `Denied`; `CloudSetup` where the key is missing or its version disabled."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = _Sealed.parse(ciphertext)
        data_key = await self._data_key(sealed.wrapped, aad)
        nonce, body = sealed.body[:_NONCE_BYTES], sealed.body[_NONCE_BYTES:]
        try:
            return AESGCM(data_key).decrypt(nonce, body, _bound(sealed.version, aad))
        except (InvalidTag, ValueError) as error:
            raise foreign() from error

    def version(self, ciphertext: str) -> str:
        """Return the number of the version of the KMS key, or raise `Denied`."""
        return _Sealed.parse(ciphertext).version

    async def stale(self, ciphertext: str) -> bool:
        """Return whether a ciphertext is not under the primary version, as seen in the last few minutes.

        KMS names the version that it encrypted with, so a wrapped throw-away key answers this without the right
        to read keys, whose quota is small (Cloud KMS quotas: read requests).
        """
        if self._primary is None or self._clock.now() >= self._primary[1]:
            await self._wrap(os.urandom(_KEY_BYTES), "stale")
        assert self._primary is not None, "a wrapped key names its version"
        return _Sealed.parse(ciphertext).version != self._primary[0]

    async def close(self) -> None:
        """Close the client."""
        await self._kms.close()

    async def _data_key(self, wrapped: bytes, aad: str) -> bytes:
        now = self._clock.now()
        while self._opened and next(iter(self._opened.values()))[1] <= now:
            self._opened.popitem(last=False)
        cached = self._opened.get((wrapped, aad))
        if cached is not None:
            return cached[0]
        data_key = await self._kms.unwrap(wrapped, aad)
        self._opened.pop((wrapped, aad), None)  # another call may have been faster
        self._opened[wrapped, aad] = (data_key, now + self._cached_for)
        while len(self._opened) > self._cached_max:
            self._opened.popitem(last=False)
        return data_key

    async def _wrap(self, data_key: bytes, aad: str) -> tuple[str, bytes]:
        version, wrapped = await self._kms.wrap(data_key, aad)
        self._primary = (version, self._clock.now() + self._cached_for)
        return version, wrapped


def _bound(version: str, aad: str) -> bytes:
    """Return what the data key authenticates besides the text: its owner, and the version that the text names."""
    return f"{_SCHEME}.{version}.{aad}".encode()
