"""Stores of tenants on SQLite in memory, with a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.domain.quota import Limits
from convergence.tenants.api_keys import ApiKeyStore
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.orgs import Org, OrgStore


class MovedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Tenants:
    """The stores."""

    documents: SqliteDocuments
    clock: MovedClock
    keys: ApiKeyStore
    orgs: OrgStore
    credentials: CredentialStore
    keyring: FileKeyring

    def org(self, slug: str = "acme", **changes: Any) -> Org:
        limits = Limits(daily=1, monthly=1, concurrent=1)
        values: dict[str, Any] = {"slug": slug, "name": slug, "status": "ACTIVE", "limits": limits}
        return Org(**(values | {"created_at": self.clock.at} | changes))

    def run_scenario(self, scenario: Callable[[], Any]) -> Any:
        async def whole() -> Any:
            await self.orgs.create(self.org())
            return await scenario()

        return asyncio.run(whole())


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    clock = MovedClock()
    documents, keyring = SqliteDocuments(":memory:", clock), FileKeyring(tmp_path / "key")
    credentials = CredentialStore(documents, keyring, clock)
    keys = ApiKeyStore(documents, clock, keyring=keyring)
    yield Tenants(documents, clock, keys, OrgStore(documents), credentials, keyring)
    documents.close()
