"""Encryption of credentials."""

from __future__ import annotations

from typing import Protocol


class Keyring(Protocol):
    """Authenticated encryption under a key that never leaves the adapter.

    `aad` (additional authenticated data) binds a ciphertext to its owner, for example `org/acme/openai/c1`.
    """

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        """Return ciphertext as printable text that names its key version."""
        ...

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        """Return the plaintext.

        Raises:
            Denied: the ciphertext was made for another owner or key, or was changed.
        """
        ...

    def version(self, ciphertext: str) -> str:
        """Return the key version that a ciphertext names; it reveals nothing about the key.

        Raises:
            Denied: it is not a ciphertext of this keyring.
        """
        ...

    async def stale(self, ciphertext: str) -> bool:
        """Return whether a ciphertext uses an older key version than new ones do and should be encrypted again.

        Raises:
            Denied: it is not a ciphertext of this keyring.
        """
        ...
