"""Customers' accounts inside one execution: made on first use, closed at its end, tokens masked like keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convergence.ports.google_accounts import Accounts, Reader


class StepAccounts:
    """The `Accounts` of a step; `mask` is called with every token, which is masked like a key."""

    def __init__(self, make: Callable[[], Accounts], mask: Callable[[str], None]) -> None:
        self._make, self._mask = make, mask
        self._made: Accounts | None = None

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        """Return an access token; see the port."""
        token = await self._accounts().token(secret, scopes)
        self._mask(token)
        return token

    async def reader(self, secret: str, *, project: str = "", location: str = "", url: str = "") -> Reader:
        """Return a reader; see the port."""
        reader = await self._accounts().reader(secret, project=project, location=location, url=url)
        self._mask(reader.token)
        return reader

    async def close(self) -> None:
        """Close what was made."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()

    def _accounts(self) -> Accounts:
        if self._made is None:
            self._made = self._make()
        return self._made
