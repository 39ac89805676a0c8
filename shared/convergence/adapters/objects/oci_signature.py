"""The signature of requests to OCI with an API key: draft-cavage-http-signatures, version 08, as Oracle's SDKs make it.

https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convergence.errors import StepFailed


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key: `key_id` is tenancy/user/fingerprint, `private` an RSA key of `cryptography`."""

    key_id: str
    private: Any = field(repr=False)


def read_key(fields: Mapping[str, str]) -> ApiKey:
    """Return the key of tenancy, user, fingerprint and private_key (PEM). Raises `StepFailed`, without its text."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    passphrase = fields.get("passphrase")
    try:
        private = load_pem_private_key(
            fields["private_key"].encode(), passphrase.encode() if passphrase is not None else None
        )
    except (ValueError, TypeError):
        raise StepFailed("private_key of the credential of oci is not a PEM key, or its passphrase is wrong") from None
    if not isinstance(private, RSAPrivateKey):
        raise StepFailed("private_key of the credential of oci is not an RSA key")
    return ApiKey(f"{fields['tenancy']}/{fields['user']}/{fields['fingerprint']}", private)


def authorization(key: ApiKey, *, target: str, host: str, date: str) -> str:
    """Return the header Authorization of a GET: `target` is path and query as they are sent, `date` the header Date."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    text = f"date: {date}\n(request-target): get {target}\nhost: {host}"
    signature = base64.b64encode(key.private.sign(text.encode(), PKCS1v15(), SHA256())).decode()
    return (
        'Signature algorithm="rsa-sha256",headers="date (request-target) host",'
        f'keyId="{key.key_id}",signature="{signature}",version="1"'
    )
