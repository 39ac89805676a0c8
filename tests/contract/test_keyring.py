"""What every `Keyring` adapter promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from convergence.errors import Denied
from convergence.ports.keyring import Keyring


def run_scenario(keyring: Keyring, scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()
        close = getattr(keyring, "close", None)  # a client on a wire belongs to this loop
        if close is not None:
            await close()

    asyncio.run(whole())


def test_only_the_owner_named_at_encryption_can_decrypt(keyring: Keyring) -> None:
    async def scenario() -> None:
        sealed = await keyring.encrypt(b"sk-secret", "org/acme/credential/c1")
        assert "sk-secret" not in sealed
        assert await keyring.decrypt(sealed, "org/acme/credential/c1") == b"sk-secret"
        with pytest.raises(Denied, match="another org"):
            await keyring.decrypt(sealed, "org/other/credential/c1")

    run_scenario(keyring, scenario)


def test_a_changed_ciphertext_is_refused(keyring: Keyring) -> None:
    async def scenario() -> None:
        sealed = await keyring.encrypt(b"sk-secret", "a")
        for broken in (sealed[:-4] + "AAAA", "v9." + sealed[3:], "nonsense", ""):
            with pytest.raises(Denied):
                await keyring.decrypt(broken, "a")

    run_scenario(keyring, scenario)


def test_the_same_plaintext_never_encrypts_to_the_same_text(keyring: Keyring) -> None:
    async def scenario() -> None:
        assert await keyring.encrypt(b"x", "a") != await keyring.encrypt(b"x", "a")

    run_scenario(keyring, scenario)


def test_a_new_ciphertext_is_not_stale_and_nonsense_is_refused(keyring: Keyring) -> None:
    async def scenario() -> None:
        assert not await keyring.stale(await keyring.encrypt(b"x", "a"))
        with pytest.raises(Denied):
            await keyring.stale("nonsense")

    run_scenario(keyring, scenario)
