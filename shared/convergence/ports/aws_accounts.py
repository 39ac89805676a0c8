"""Customers' own accounts at AWS: calls of a service's API, other than those of buckets (`object_store`).

One `AwsAccounts` serves one execution of one step and is closed at its end; no key, session or connection is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

Service = Literal["bedrock", "ce", "cloudwatch", "sts"]


class AwsApi(Protocol):
    """One service of one account."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer to one request; names and values are those of boto3 (`get_cost_and_usage`).

        Raises `CredentialRejected` when the account may not do this, `StepFailed` when AWS refuses the request,
        `Transient` when it is busy or cannot be reached, also after the client's own retries.
        """
        ...


class AwsAccounts(Protocol):
    """What a credential of AWS opens."""

    async def open(self, service: Service, secret: str, *, region: str = "us-east-1", url: str = "") -> AwsApi:
        """Return the service in a region.

        `secret` is JSON: access_key_id and secret_access_key; or role_arn, which this installation's own identity
        assumes with the external id `convergence-{org}`; or both. `url` is a stand-in on this machine; without it
        the registry of providers says where AWS is.

        Raises `StepFailed` for a secret of any other form, or a `url` that leads elsewhere.
        """
        ...

    async def close(self) -> None:
        """Close all connections; the engine calls it when the execution ends."""
        ...
