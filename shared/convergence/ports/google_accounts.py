"""Customers' own accounts at Google Cloud: access tokens, and queries that run in a customer's project.

One `Accounts` serves one execution of one step and is closed at its end. Nothing (a key, a token, a connection) is
shared with another execution, so an org never works with another's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from convergence.ports.warehouse import Parameter


class Reader(Protocol):
    """Queries under a customer's service account. `project` is where they run, and who pays for them; `token`
    is the access token it works with, which the engine masks.

    Every method raises `CredentialRejected` when the account may not do this (with the permission that Google names),
    `StepFailed` when the statement is wrong, a table does not exist or a limit is passed, `Transient` when BigQuery is
    busy or cannot be reached.
    """

    project: str
    token: str

    def pages(
        self,
        sql: str,
        parameters: Mapping[str, Parameter] | None = None,
        *,
        page_rows: int = 10_000,
        bytes_max: int | None = None,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield the rows of one GoogleSQL statement, at most `page_rows` at a time; no page is empty.

        Values are those of `convergence.ports.warehouse.QueryResult`. A statement that would bill more than
        `bytes_max` bytes is refused before it reads any. Raises `StepFailed` too when pages end before the total.
        """
        ...

    async def begin(
        self, sql: str, parameters: Mapping[str, Parameter] | None = None, *, bytes_max: int | None = None
    ) -> str:
        """Begin one GoogleSQL statement as a job that continues without its caller; return a name for `result`.

        Another execution may read the result: it is kept for a day.
        """
        ...

    def result(
        self, job: str, *, first_row: int = 0, page_rows: int = 10_000, wait_s: float | None = None
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield the rows of a job that `begin` began, from `first_row` (0) on, as `pages` does.

        Raises `StillRunning` when the job does not end within `wait_s`; it continues.
        """
        ...

    async def estimate(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> int:
        """Return how many bytes a statement would read. Nothing runs and nothing is billed."""
        ...


class Accounts(Protocol):
    """The access that a service account's JSON key gives.

    Every method raises `StepFailed` when the secret is not such a key or points to a host other than Google's,
    `CredentialRejected` when Google rejects it (deleted, disabled), `Transient` when Google is busy.
    """

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        """Return an access token for `scopes` (whole URLs), good for an hour at most."""
        ...

    async def reader(self, secret: str, *, project: str = "", location: str = "", url: str = "") -> Reader:
        """Return a reader that works as this account.

        Args:
            secret: The JSON key.
            project: Where queries run; the key's own project by default. Their tables may be in any project.
            location: Where they run, such as `EU`; by default BigQuery derives it from the tables.
            url: The root of BigQuery's REST API where it is not Google's own: a stand-in on this machine.
        """
        ...

    async def close(self) -> None:
        """Close all readers; the engine calls it when the execution ends."""
        ...
