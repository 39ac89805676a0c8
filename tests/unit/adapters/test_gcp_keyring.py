"""CloudKmsKeyring: envelopes, key versions, calls saved, checksums, and errors that say what to do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.adapters.gcp.keyring.adapter import CloudKmsKeyring
from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.errors import CloudSetup, Denied, PermissionMissing, Transient
from convergence.tenants.credentials import CredentialStore
from tests.emulators.kms import KmsServer

KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/credentials"
Scenario = Callable[[CloudKmsKeyring, KmsServer], Awaitable[Any]]


class JumpingClock:
    """Sleeps end at once and move it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def server() -> Iterator[KmsServer]:
    made = KmsServer([KEY])
    yield made
    made.stop()


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def run_scenario(server: KmsServer, clock: JumpingClock) -> Callable[..., None]:
    def run(scenario: Scenario, key: str = KEY, **options: Any) -> None:
        async def whole() -> None:
            keyring = CloudKmsKeyring(key, clock=clock, ids=RandomIds(), endpoint=server.start(), **options)
            await scenario(keyring, server)
            await keyring.close()

        asyncio.run(whole())

    return run


def test_opening_again_costs_no_call_for_minutes(run_scenario: Callable[..., None], clock: JumpingClock) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        sealed = await keyring.encrypt(b"sk", "a")
        for _ in range(3):
            assert await keyring.decrypt(sealed, "a") == b"sk"
        assert server.server.calls == {"Encrypt": 1, "Decrypt": 1}
        await clock.sleep(300)
        await keyring.decrypt(sealed, "a")
        assert server.server.calls["Decrypt"] == 2

    run_scenario(scenario)


def test_a_cached_key_opens_nothing_for_another_owner_and_the_cache_is_bounded(
    run_scenario: Callable[..., None],
) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        first, *others = [await keyring.encrypt(b"sk", "a") for _ in range(3)]
        await keyring.decrypt(first, "a")
        with pytest.raises(Denied):
            await keyring.decrypt(first, "b")
        for each in others:
            await keyring.decrypt(each, "a")
        await keyring.decrypt(first, "a")
        assert server.server.calls["Decrypt"] == 5, "two stay, the oldest went"

    run_scenario(scenario, cached_max=2)


def test_after_a_rotation_new_ciphertexts_are_under_the_new_version_and_old_ones_open(
    run_scenario: Callable[..., None], clock: JumpingClock
) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        old = await keyring.encrypt(b"sk", "a")
        server.keys[KEY].rotate()
        new = await keyring.encrypt(b"sk", "a")
        assert [text.split(".")[:2] for text in (old, new)] == [["kms1", "1"], ["kms1", "2"]]
        assert [await keyring.decrypt(text, "a") for text in (old, new)] == [b"sk", b"sk"]
        assert [await keyring.stale(text) for text in (old, new)] == [True, False]
        server.keys[KEY].rotate()
        await clock.sleep(301)
        assert await keyring.stale(new), "the primary version is asked for again after minutes"

    run_scenario(scenario)


def test_resealing_moves_credentials_to_the_primary_version_so_that_the_old_one_can_go(
    run_scenario: Callable[..., None], clock: JumpingClock
) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        documents = SqliteDocuments(":memory:", clock)
        store = CredentialStore(documents, keyring, clock)
        for name in ("one", "two"):
            await store.store("acme", "openai", f"sk-{name}", name=name)
        server.keys[KEY].rotate()
        await store.store("acme", "openai", "sk-three", name="three")
        assert await store.reseal("acme") == 2
        assert await store.reseal("acme") == 0
        server.keys[KEY].disabled.add(1)
        opened = {each.name: await store.open(each) for each in await store.all("acme")}
        assert opened == {"one": "sk-one", "two": "sk-two", "three": "sk-three"}
        documents.close()

    run_scenario(scenario)


def test_every_changed_part_of_a_ciphertext_is_refused(run_scenario: Callable[..., None]) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        sealed = await keyring.encrypt(b"sk", "a")
        parts = sealed.split(".")
        other = (await keyring.encrypt(b"sk", "a")).split(".")
        await keyring.decrypt(sealed, "a")  # its data key is in memory now
        changed = [
            ["kms2", *parts[1:]],
            [parts[0], "2", *parts[2:]],
            [*parts[:2], other[2], parts[3]],
            [*parts[:3], other[3]],
            [*parts[:3], base64.urlsafe_b64encode(b"short").decode()],
            [*parts[:2], "", parts[3]],
            [*parts, "more"],
        ]
        for each in changed:
            with pytest.raises(Denied):
                await keyring.decrypt(".".join(each), "a")

    run_scenario(scenario)


@pytest.mark.parametrize("garbled", [1, 2])
def test_bytes_changed_on_their_way_are_asked_for_again(run_scenario: Callable[..., None], garbled: int) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        server.garbled = garbled
        sealed = await keyring.encrypt(b"sk", "a")
        server.garbled = garbled
        assert await keyring.decrypt(sealed, "a") == b"sk"
        assert server.server.calls == {"Encrypt": 1 + garbled, "Decrypt": 1 + garbled}

    run_scenario(scenario)


def test_a_wire_that_always_changes_bytes_is_transient_not_a_wrong_credential(
    run_scenario: Callable[..., None],
) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        sealed = await keyring.encrypt(b"sk", "a")
        server.garbled = 10**6
        with pytest.raises(Transient, match="changed in transit"):
            await keyring.decrypt(sealed, "a")
        server.garbled = 0
        refusal = "The checksum in field ciphertext_crc32c did not match the data in field ciphertext."
        server.faults.refuse("Decrypt", code="INVALID_ARGUMENT", message=refusal)
        assert await keyring.decrypt(sealed, "a") == b"sk"

    run_scenario(scenario)


def test_a_missing_key_a_disabled_version_and_a_missing_right_say_what_to_do(run_scenario: Callable[..., None]) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        sealed = await keyring.encrypt(b"sk", "a")
        server.keys[KEY].disabled.add(1)
        with pytest.raises(CloudSetup, match=r"cryptoKeyVersions/1 is not enabled"):
            await keyring.decrypt(sealed, "a")
        server.faults.deny("cloudkms.cryptoKeyVersions.useToDecrypt", KEY)
        with pytest.raises(PermissionMissing, match=r"cloudkms\.cryptoKeyVersions\.useToDecrypt"):
            await keyring.decrypt(sealed, "a")
        del server.keys[KEY]
        with pytest.raises(CloudSetup, match="Create the key"):
            await keyring.encrypt(b"sk", "a")

    run_scenario(scenario)


def test_an_outage_of_seconds_is_waited_for_and_a_longer_one_is_transient(run_scenario: Callable[..., None]) -> None:
    async def scenario(keyring: CloudKmsKeyring, server: KmsServer) -> None:
        server.faults.refuse("Encrypt", times=3)
        await keyring.encrypt(b"sk", "a")
        server.faults.refuse("Encrypt", times=float("inf"))
        with pytest.raises(Transient, match="waiting for Cloud KMS"):
            await keyring.encrypt(b"sk", "a")

    run_scenario(scenario)
