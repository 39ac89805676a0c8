"""A Cloud KMS server for tests: Encrypt and Decrypt, keys with versions, real AES-256-GCM, all checksums."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import google_crc32c
import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.cloud.kms_v1 import types
from google.cloud.kms_v1.services.key_management_service.transports.grpc import KeyManagementServiceGrpcTransport

from tests.emulators.serving import Faults, Refused, Server

_PLAINTEXT_MAX: Final = 64 * 1024  # Cloud KMS API: EncryptRequest, software keys
_NONCE: Final = 12
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT


@dataclass
class Key:
    """A key: its versions by number, from 1, and which one encrypts."""

    versions: dict[int, AESGCM] = field(default_factory=dict)
    disabled: set[int] = field(default_factory=set)
    primary: int = 0

    def rotate(self) -> int:
        """Make a new primary version and return its number."""
        self.primary = len(self.versions) + 1
        self.versions[self.primary] = AESGCM(os.urandom(32))
        return self.primary


class KmsServer:
    """Keys live in memory. `garbled` answers to come have one bit changed on their way, their checksums not."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Make keys, `projects/{p}/locations/{l}/keyRings/{r}/cryptoKeys/{k}`, each with one version."""
        self.keys = {name: Key() for name in keys}
        for key in self.keys.values():
            key.rotate()
        self.garbled = 0
        self._gate = threading.Lock()
        handlers = {"Encrypt": self._encrypt, "Decrypt": self._decrypt, "GetCryptoKey": self._get}
        self.server = Server(KeyManagementServiceGrpcTransport, handlers)

    @property
    def faults(self) -> Faults:
        """Faults of the wire between client and server."""
        return self.server.faults

    def start(self, port: int = 0) -> str:
        """Serve; return `host:port`."""
        return self.server.start(port)

    def stop(self) -> None:
        """Stop serving; the keys stay."""
        self.server.stop()

    def _encrypt(self, request: Any, context: grpc.ServicerContext) -> Any:
        name, _, expected = request.name.partition("/cryptoKeyVersions/")
        key = self._known(name)
        version = int(expected) if expected else key.primary
        _enabled(key, name, version)
        if len(request.plaintext) > _PLAINTEXT_MAX:
            raise Refused(INVALID, f"The plaintext must be no larger than {_PLAINTEXT_MAX} bytes.")
        _check(request, "plaintext")
        _check(request, "additional_authenticated_data")
        nonce = os.urandom(_NONCE)
        body = key.versions[version].encrypt(nonce, request.plaintext, request.additional_authenticated_data)
        sealed = version.to_bytes(4, "big") + nonce + body
        answer = types.EncryptResponse.pb()(
            name=f"{name}/cryptoKeyVersions/{version}",
            ciphertext=self._way_back(sealed),
            verified_plaintext_crc32c=request.HasField("plaintext_crc32c"),
            verified_additional_authenticated_data_crc32c=request.HasField("additional_authenticated_data_crc32c"),
            protection_level=types.ProtectionLevel.SOFTWARE,
        )
        answer.ciphertext_crc32c.value = google_crc32c.value(sealed)
        return answer

    def _decrypt(self, request: Any, context: grpc.ServicerContext) -> Any:
        key = self._known(request.name)
        _check(request, "ciphertext")
        _check(request, "additional_authenticated_data")
        version, sealed = int.from_bytes(request.ciphertext[:4], "big"), request.ciphertext[4:]
        if version not in key.versions:
            raise Refused(INVALID, "Decryption failed: the ciphertext is invalid.")
        _enabled(key, request.name, version)
        try:
            opened = key.versions[version].decrypt(
                sealed[:_NONCE], sealed[_NONCE:], request.additional_authenticated_data
            )
        except (InvalidTag, ValueError) as error:
            raise Refused(INVALID, "Decryption failed: the ciphertext is invalid.") from error
        answer = types.DecryptResponse.pb()(
            plaintext=self._way_back(opened),
            used_primary=version == key.primary,
            protection_level=types.ProtectionLevel.SOFTWARE,
        )
        answer.plaintext_crc32c.value = google_crc32c.value(opened)
        return answer

    def _get(self, request: Any, context: grpc.ServicerContext) -> Any:
        key = self._known(request.name)
        answer = types.CryptoKey.pb()(name=request.name, purpose=types.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT)
        answer.primary.name = f"{request.name}/cryptoKeyVersions/{key.primary}"
        return answer

    def _known(self, name: str) -> Key:
        if name not in self.keys:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"CryptoKey {name} not found.")
        return self.keys[name]

    def _way_back(self, data: bytes) -> bytes:
        with self._gate:
            if self.garbled <= 0:
                return data
            self.garbled -= 1
        return bytes([data[0] ^ 1]) + data[1:]


def _enabled(key: Key, name: str, version: int) -> None:
    if version in key.disabled:
        raise Refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{name}/cryptoKeyVersions/{version} is not enabled, current state is: DISABLED.",
        )


def _check(request: Any, field_name: str) -> None:
    """Refuse bytes that were changed on their way here; a checksum that is absent is not compared."""
    checksum = f"{field_name}_crc32c"
    if request.HasField(checksum) and getattr(request, checksum).value != google_crc32c.value(
        getattr(request, field_name)
    ):
        raise Refused(INVALID, f"The checksum in field {checksum} did not match the data in field {field_name}.")
