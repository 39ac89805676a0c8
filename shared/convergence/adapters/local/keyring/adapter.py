"""AES-256-GCM under a key file that only its owner can read."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Final

from convergence.errors import ConfigError, Denied

_NONCE_BYTES: Final = 12  # NIST SP 800-38D §5.2.1.1: 96 bits
_VERSION: Final = "v1"


class FileKeyring:
    """`Keyring` with the key in a file of mode 0600, made when something is sealed for the first time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        """Return `v1.{nonce and ciphertext, base64}`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._load()).encrypt(nonce, plaintext, aad.encode())
        return f"{_VERSION}.{base64.urlsafe_b64encode(sealed).decode()}"

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        """Return the plaintext, or raise `Denied`."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, _, text = ciphertext.partition(".")
        try:
            sealed = base64.urlsafe_b64decode(text)
            if version != _VERSION or len(sealed) <= _NONCE_BYTES:
                raise Denied(f"not a ciphertext of this keyring (version {version[:8]!r})")
            return AESGCM(self._read()).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], aad.encode())
        except (InvalidTag, ValueError) as error:
            raise Denied(
                "a credential does not decrypt: it belongs to another org or key. Store the credential again."
            ) from error

    def version(self, ciphertext: str) -> str:
        """Return `v1`, or raise `Denied`."""
        version = ciphertext.partition(".")[0]
        if version != _VERSION:
            raise Denied(f"not a ciphertext of this keyring (version {version[:8]!r})")
        return version

    async def stale(self, ciphertext: str) -> bool:
        """Return False: a key file has one version."""
        self.version(ciphertext)
        return False

    def _load(self) -> bytes:
        if self._key is None and not self._path.exists():
            self._make()
        return self._read()

    def _read(self) -> bytes:
        """Return the key. Opening a secret never creates a key: the secret was sealed with another one."""
        if self._key is None:
            if not self._path.exists():
                raise missing(self._path)
            mode = self._path.stat().st_mode & 0o777
            if mode & 0o077:
                raise ConfigError(
                    f"the key file is readable by others (mode {mode:o}); run: chmod 600 {self._path}",
                    where=str(self._path),
                )
            self._key = self._path.read_bytes()
            if len(self._key) != 32:
                raise ConfigError(
                    "the key file does not hold 32 bytes; restore it from a backup", where=str(self._path)
                )
        return self._key

    def _make(self) -> None:
        """Write the whole key or nothing: a crash must not leave half a key that then encrypts."""
        draft = self._path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._path)


def missing(path: Path) -> ConfigError:
    """Return the error of a key file that is missing although secrets were sealed with it."""
    return ConfigError(
        "the key file is missing, and stored credentials are sealed with it. Restore it from a backup. If it is lost, "
        f"make another with `(umask 077; head -c 32 /dev/urandom > {path})` and store every credential again; webhooks "
        "need new secrets",
        where=str(path),
    )
