"""Calls to Cloud KMS: wrap a data key, unwrap it, with checksums in both directions.

CRC32C as KMS asks for it (Cloud KMS documentation: "Verifying end-to-end data integrity"): the request carries the
checksums of what was sent, the answer says that they were seen and carries its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from convergence.adapters.gcp.connection import Connection, transport
from convergence.adapters.retry import retried
from convergence.errors import CloudSetup, Denied, InvalidInput, NotFound, Transient
from convergence.ports.clock import Clock, Ids

if TYPE_CHECKING:
    from google.cloud.kms_v1 import DecryptRequest, EncryptRequest, KeyManagementServiceAsyncClient

T = TypeVar("T")
_CALL_S: Final = 5.0
_TOTAL_S: Final = 15.0


class WrappingKey:
    """One symmetric key of Cloud KMS, `projects/{p}/locations/{l}/keyRings/{r}/cryptoKeys/{k}`."""

    def __init__(self, key: str, *, clock: Clock, ids: Ids, endpoint: str | None) -> None:
        self._key = key
        self._clock, self._ids = clock, ids
        self._connection: Connection[KeyManagementServiceAsyncClient] = Connection(
            lambda: _client(endpoint), _close, service="Cloud KMS", clock=clock
        )

    async def wrap(self, data_key: bytes, aad: str) -> tuple[str, bytes]:
        """Return the key version that was used, and the wrapped key."""
        from google.cloud.kms_v1 import EncryptRequest

        bound = aad.encode()
        request = EncryptRequest(
            name=self._key,
            plaintext=data_key,
            plaintext_crc32c=_crc32c(data_key),
            additional_authenticated_data=bound,
            additional_authenticated_data_crc32c=_crc32c(bound),
        )
        name, wrapped = await self._retried(lambda: self._encrypted(request))
        return name.rpartition("/")[2], wrapped

    async def _encrypted(self, request: EncryptRequest) -> tuple[str, bytes]:
        answer = await self._connection.call(
            lambda client: client.encrypt(request, retry=None, timeout=_CALL_S), doing=f"encrypt with {self._key}"
        )
        received = answer.verified_plaintext_crc32c and answer.verified_additional_authenticated_data_crc32c
        if not received or answer.ciphertext_crc32c != _crc32c(answer.ciphertext):
            raise _garbled("encrypt")
        return answer.name, answer.ciphertext

    async def unwrap(self, wrapped: bytes, aad: str) -> bytes:
        """Return the data key. Raises `Denied`: it was wrapped for another owner or key, or was changed."""
        from google.cloud.kms_v1 import DecryptRequest

        bound = aad.encode()
        request = DecryptRequest(
            name=self._key,
            ciphertext=wrapped,
            ciphertext_crc32c=_crc32c(wrapped),
            additional_authenticated_data=bound,
            additional_authenticated_data_crc32c=_crc32c(bound),
        )
        try:
            return await self._retried(lambda: self._decrypted(request))
        except InvalidInput as error:
            raise foreign() from error

    async def _decrypted(self, request: DecryptRequest) -> bytes:
        answer = await self._connection.call(
            lambda client: client.decrypt(request, retry=None, timeout=_CALL_S), doing=f"decrypt with {self._key}"
        )
        if answer.plaintext_crc32c != _crc32c(answer.plaintext):
            raise _garbled("decrypt")
        return answer.plaintext

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await retried(partial(_intact, call), clock=self._clock, ids=self._ids, total_s=_TOTAL_S)
        except NotFound as error:
            raise CloudSetup(f"{error} Create the key, or correct its name in the settings.") from error

    async def close(self) -> None:
        """Close the client."""
        await self._connection.close()


async def _intact(call: Callable[[], Awaitable[T]]) -> T:
    """Turn a checksum that KMS found wrong into a retry: KMS reports it as INVALID_ARGUMENT."""
    try:
        return await call()
    except InvalidInput as error:
        if "crc32c" in str(error):
            raise _garbled("request") from error
        raise


def foreign() -> Denied:
    """Return the error of a ciphertext that belongs to another org or was changed; the two cannot be distinguished."""
    return Denied("a credential does not decrypt: it belongs to another org or key. Store the credential again.")


def _garbled(what: str) -> Transient:
    return Transient(f"waiting for Cloud KMS ({what}): bytes were changed in transit (CRC32C)")


def _crc32c(data: bytes) -> int:
    import google_crc32c

    return int(google_crc32c.value(data))


def _client(endpoint: str | None) -> KeyManagementServiceAsyncClient:
    from google.cloud.kms_v1 import KeyManagementServiceAsyncClient
    from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcAsyncIOTransport

    return KeyManagementServiceAsyncClient(transport=transport(KeyManagementServiceGrpcAsyncIOTransport, endpoint))


async def _close(client: KeyManagementServiceAsyncClient, grace_s: float | None) -> None:
    from google.cloud.kms_v1.services.key_management_service.transports import (
        KeyManagementServiceGrpcAsyncIOTransport as Transport,
    )

    assert isinstance(client.transport, Transport), "the client was built on asyncio"
    await client.transport.grpc_channel.close(grace_s)
