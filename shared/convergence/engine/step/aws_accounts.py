"""Accounts at AWS inside one execution: made on first use, closed at its end."""

from __future__ import annotations

from collections.abc import Callable

from convergence.ports.aws_accounts import AwsAccounts, AwsApi, Service


class StepAwsAccounts:
    """The `AwsAccounts` of a step."""

    def __init__(self, make: Callable[[], AwsAccounts]) -> None:
        self._make = make
        self._made: AwsAccounts | None = None

    async def open(self, service: Service, secret: str, *, region: str = "us-east-1", url: str = "") -> AwsApi:
        """Return the service; see the port."""
        if self._made is None:
            self._made = self._make()
        return await self._made.open(service, secret, region=region, url=url)

    async def close(self) -> None:
        """Close what was opened."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()
