"""Secrets of webhooks: sealed for their webhook alone, two at a time, sealed again after the key was rotated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.domain.records import changed
from convergence.domain.webhook import Webhook, Webhooks
from convergence.engine.services import Services
from convergence.engine.webhooks.change import (
    WebhookChange,
    create_webhook,
    require_webhook,
    rotate_secret,
    update_webhook,
    webhooks_of,
)
from convergence.errors import ConfigError, Denied, QuotaExceeded
from convergence.tenants.orgs import Org
from convergence.tenants.webhooks import change_webhooks, new_secret, open_secret, read_webhooks, reseal_webhooks
from tests.unit.tenants.conftest import MovedClock

CONFIGS = Path(__file__).parents[4] / "configs"
URL = "https://hooks.example.com/x"
AT = datetime(2026, 3, 1, tzinfo=UTC)


class AgingKeyring:
    """A keyring of which every ciphertext so far is of an older version once `rotated`."""

    def __init__(self) -> None:
        self.sealed: dict[str, tuple[bytes, str]] = {}
        self.old: set[str] = set()

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        name = f"sealed.{len(self.sealed)}"
        self.sealed[name] = (plaintext, aad)
        return name

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        plaintext, sealed_for = self.sealed[ciphertext]
        if aad != sealed_for:
            raise Denied("sealed for another owner")
        return plaintext

    def version(self, ciphertext: str) -> str:
        return "1" if ciphertext in self.old else "2"

    async def stale(self, ciphertext: str) -> bool:
        return ciphertext in self.old


def run(scenario: Callable[[SqliteDocuments], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        documents = SqliteDocuments(":memory:", MovedClock())
        try:
            return await scenario(documents)
        finally:
            documents.close()

    return asyncio.run(whole())


async def _org(services: Services) -> None:
    limits = Limits(daily=10, monthly=10, concurrent=1)
    await services.orgs.create(Org(slug="acme", name="", status="ACTIVE", limits=limits, created_at=AT))


async def stored(documents: SqliteDocuments, keyring: Any, org: str, names: tuple[str, ...]) -> dict[str, str]:
    """Store webhooks; return the text of each one's secret."""
    texts = {}
    for name in names:
        text, secret = await new_secret(keyring, org, name, "whs_1", AT)
        webhook = Webhook(webhook_id=name, url=URL, secrets=(secret,), created_at=AT, updated_at=AT)

        def edit(before: Webhooks, name: str = name, webhook: Webhook = webhook) -> Webhooks:
            return changed(before, webhooks={**before.webhooks, name: webhook})

        await change_webhooks(documents, org, edit, token=name)
        texts[name] = text
    return texts


def test_a_secret_opens_under_the_name_of_its_own_org_and_webhook_only(tmp_path: Path) -> None:
    async def scenario(documents: SqliteDocuments) -> None:
        keyring = FileKeyring(tmp_path / "key")
        texts = await stored(documents, keyring, "acme", ("whk_1",))
        (webhook,) = (await read_webhooks(documents, "acme")).webhooks.webhooks.values()
        assert (await open_secret(keyring, "acme", "whk_1", webhook.secrets[0])).decode() == texts["whk_1"]
        for org, name in (("globex", "whk_1"), ("acme", "whk_2")):
            with pytest.raises(Denied):
                await open_secret(keyring, org, name, webhook.secrets[0])
        document = await documents.get("webhooks/acme")
        assert document is not None
        assert texts["whk_1"] not in str(document.data)
        assert webhook.secrets[0].ciphertext not in repr(webhook)

    run(scenario)


def test_resealing_moves_every_secret_and_reports_how_many() -> None:
    async def scenario(documents: SqliteDocuments) -> None:
        keyring = AgingKeyring()
        texts = await stored(documents, keyring, "acme", ("whk_1", "whk_2"))
        keyring.old = set(keyring.sealed)
        texts |= await stored(documents, keyring, "acme", ("whk_3",))
        assert await reseal_webhooks(documents, keyring, "acme") == 2
        assert await reseal_webhooks(documents, keyring, "acme") == 0
        assert await reseal_webhooks(documents, keyring, "nobody") == 0
        after = (await read_webhooks(documents, "acme")).webhooks.webhooks
        for name, text in texts.items():
            (secret,) = after[name].secrets
            assert secret.ciphertext not in keyring.old
            assert (await open_secret(keyring, "acme", name, secret)).decode() == text

    run(scenario)


def test_two_secrets_sign_during_an_overlap_and_a_third_ends_the_first(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS), "test") as opened:
            services = opened.services
            await _org(services)
            webhook, first = await create_webhook(services, "acme", WebhookChange(url=URL))
            rotated, second = await rotate_secret(services, "acme", webhook.webhook_id, overlap=timedelta(hours=1))
            now = services.clock.now()
            assert len({first, second}) == 2
            assert [each.expires_at is None for each in rotated.signing(now)] == [True, False]
            assert len(rotated.signing(now + timedelta(hours=2))) == 1
            third, _ = await rotate_secret(services, "acme", webhook.webhook_id, overlap=timedelta(hours=1))
            opened_texts = [
                (await open_secret(services.keyring, "acme", webhook.webhook_id, each)).decode()
                for each in third.signing(now)
            ]
            assert opened_texts[1:] == [second]
            assert first not in opened_texts
            alone, _ = await rotate_secret(services, "acme", webhook.webhook_id, overlap=timedelta(0))
            assert len(alone.secrets) == 1

    asyncio.run(scenario())


def test_an_org_has_ten_webhooks_at_most_and_a_change_keeps_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS), "test") as opened:
            services = opened.services
            await _org(services)
            made = [(await create_webhook(services, "acme", WebhookChange(url=URL))).webhook for _ in range(10)]
            with pytest.raises(QuotaExceeded, match="10 webhooks"):
                await create_webhook(services, "acme", WebhookChange(url=URL))
            name = made[3].webhook_id
            await update_webhook(services, "acme", name, WebhookChange(pipelines="openai/*"))
            after = await require_webhook(services, "acme", name)
            assert (after.pipelines, after.secrets, after.url) == ("openai/*", made[3].secrets, URL)
            assert [each.webhook_id for each in await webhooks_of(services, "acme")] == [
                each.webhook_id for each in made
            ]
            assert after.wants("run.failed", "openai/cost/x")
            assert not after.wants("run.failed", "anthropic/openai/x")
            assert not changed(after, enabled=False).wants("run.failed", "openai/cost/x")
            assert not changed(after, events=("run.completed",)).wants("run.failed", "openai/cost/x")

    asyncio.run(scenario())


def test_a_missing_key_is_refused_where_a_webhook_is_stored(tmp_path: Path) -> None:
    options = EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS)

    async def scenario() -> None:
        async with embedded(options, "test") as opened:
            await _org(opened.services)
            await create_webhook(opened.services, "acme", WebhookChange(url=URL))

    asyncio.run(scenario())
    (tmp_path / "keyring.key").unlink()
    with pytest.raises(ConfigError, match="the key file is missing"):
        asyncio.run(scenario())
