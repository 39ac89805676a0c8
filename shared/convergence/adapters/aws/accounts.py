"""AWS services for one execution of an org's step: boto3's calls run on threads, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from convergence.adapters.aws.keys import checked_region, read_keys
from convergence.adapters.aws.refusals import call_error
from convergence.adapters.aws.session import make_client
from convergence.adapters.objects.threaded import require
from convergence.domain.addresses import LOOPBACK
from convergence.errors import StepFailed, Transient
from convergence.ports.aws_accounts import Service
from convergence.ports.http.urls import checked_url

CALLS_AT_ONCE: Final = 4


class BotoApi:
    """One service; `make` makes its client on first use, on a thread."""

    def __init__(self, service: Service, make: Callable[[], Any]) -> None:
        self._service, self._make = service, make
        self._client: Any = None
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)
        self._making = asyncio.Lock()

    async def call(self, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer; see the port."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        shown = f"{self._service} {operation}"
        async with self._turns:
            try:
                async with self._making:
                    if self._client is None:
                        self._client = await asyncio.to_thread(self._make)
                answer: dict[str, Any] = await asyncio.to_thread(getattr(self._client, operation), **request)
            except ClientError as error:
                raise call_error(error, shown) from error
            except NoCredentialsError as error:
                raise StepFailed(
                    "this installation has no AWS identity that could assume the role: store access_key_id and"
                    " secret_access_key too"
                ) from error
            except ParamValidationError as error:
                raise StepFailed(f"AWS ({shown}) does not accept this request: {str(error)[:300]}") from error
            except BotoCoreError as error:
                raise Transient(f"AWS ({shown}) could not be reached: {type(error).__name__}") from error
        answer.pop("ResponseMetadata", None)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)


@dataclass(slots=True, kw_only=True)
class BotoAccounts:
    """`AwsAccounts` for `org`. `endpoint`: the address of AWS in the registry, empty for AWS itself.

    `here`: a `url` may lead to this machine.
    """

    org: str
    endpoint: str
    here: bool
    _open: list[BotoApi] = field(default_factory=list)

    async def open(self, service: Service, secret: str, *, region: str = "us-east-1", url: str = "") -> BotoApi:
        """Return the service; see the port."""
        require("boto3", "aws", "AWS needs boto3")
        checked_region(region, "config.region")
        keys = read_keys(secret, self.org)
        endpoint = self._address(url) if url else self.endpoint
        api = BotoApi(service, lambda: make_client(service, keys, region=region, endpoint=endpoint, org=self.org))
        self._open.append(api)
        return api

    async def close(self) -> None:
        """Close all of them."""
        while self._open:
            await self._open.pop().close()

    def _address(self, text: str) -> str:
        url = checked_url(text, "AWS")
        if url.host not in LOOPBACK or not self.here:
            raise StepFailed(
                f"AWS: the address leads to {url.host!r}: only the registry of providers defines the addresses of AWS,"
                " and a stand-in on this machine is for development only"
            )
        return text
