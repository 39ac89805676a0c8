"""Containers of Azure: the real client against Azurite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from convergence.adapters.http.client import StepClient
from convergence.adapters.local.clock import SystemClock
from convergence.adapters.objects.azure_blob import open_azure
from convergence.errors import CredentialRejected, StepFailed
from convergence.ports.object_store import Place
from tests.azurite.server import ACCOUNT, KEY, Azurite, running, signature, stored

OWN = json.dumps({"account_key": KEY})
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with running(tmp_path_factory.mktemp("azurite")) as server:
        yield server


def using(work: Any, azurite: Azurite, secret: str = OWN, container: str = "exports") -> Any:
    async def main() -> Any:
        place = Place(kind="azure", root=container, options={"account": ACCOUNT})
        store = open_azure(place, secret, http=StepClient, endpoint=azurite.url)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


def sas(container: str, permission: str, ends: timedelta = HOUR) -> str:
    """Return a shared access signature as a credential."""
    return json.dumps({"sas_token": signature(container, permission, ends)})


def test_files_are_listed_and_fetched(azurite: Azurite, tmp_path: Path) -> None:
    names = ["p/0 ä&+.csv", *(f"p/{number}.csv" for number in range(1, 5))]
    container = azurite.container("exports", {name: b"x" * size for size, name in enumerate(names)})
    container.upload_blob("other/1.csv", b"")

    async def work(store: Any) -> None:
        listed = await store.list("p/", most=10)
        assert [(each.name, each.size) for each in listed] == [(name, size) for size, name in enumerate(names)]
        assert all(abs(SystemClock().now() - each.modified) < HOUR for each in listed)
        came = await store.fetch("p/4.csv", tmp_path / "came", bytes_max=4)
        assert (came.size, (tmp_path / "came").read_bytes()) == (4, b"xxxx")
        assert came == listed[4]
        assert (await store.fetch(names[0], tmp_path / "came", bytes_max=4)).size == 0
        with pytest.raises(StepFailed, match="has 4 bytes, more than 3"):
            await store.fetch("p/4.csv", tmp_path / "came", bytes_max=3)
        with pytest.raises(StepFailed, match="more than 4 files"):
            await store.list("p/", most=4)
        with pytest.raises(StepFailed, match=r"azure://acmebills/exports/p/9\.csv does not exist"):
            await store.fetch("p/9.csv", tmp_path / "came", bytes_max=9)
        assert await store.list("nothing/", most=4) == []

    using(work, azurite)


def test_a_list_of_several_pages_is_whole(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = partialmethod(ContainerClient.list_blobs, results_per_page=2)  # Azure's own have 5,000
    monkeypatch.setattr(ContainerClient, "list_blobs", pages)
    azurite.container("paged", {f"p/{number}": b"" for number in range(5)})

    async def work(store: Any) -> None:
        assert [each.name for each in await store.list("p/", most=5)] == [f"p/{number}" for number in range(5)]

    using(work, azurite, container="paged")


def test_files_larger_than_a_request_come_and_go_whole(azurite: Azurite, tmp_path: Path) -> None:
    """The client reads beyond 32 MiB in ranges, and writes beyond 64 MiB in blocks."""
    container = azurite.container("large")
    (tmp_path / "own").write_bytes(bytes(range(256)) * (65 << 12))

    async def work(store: Any) -> None:
        await store.put("focus/large.csv", tmp_path / "own")
        came = await store.fetch("focus/large.csv", tmp_path / "came", bytes_max=65 << 20)
        assert came.size == 65 << 20
        assert (tmp_path / "came").read_bytes() == (tmp_path / "own").read_bytes()
        assert container.get_blob_client("focus/large.csv").get_block_list()[0], "it was written in blocks"

    using(work, azurite, container="large")


def test_files_are_written_replaced_and_removed(azurite: Azurite, tmp_path: Path) -> None:
    container = azurite.container("written")

    async def work(store: Any) -> None:
        for text in ("first", "second"):
            (tmp_path / "own").write_text(text)
            await store.put("focus/a b.csv", tmp_path / "own")
        assert stored(container) == {"focus/a b.csv": b"second"}
        for _ in range(2):  # one that does not exist is fine
            await store.remove("focus/a b.csv")
        assert stored(container) == {}

    using(work, azurite, container="written")


def test_a_signature_to_read_and_list_is_enough_to_read(azurite: Azurite, tmp_path: Path) -> None:
    azurite.container("signed", {"p/1.csv": b"x"})

    async def work(store: Any) -> None:
        assert [each.name for each in await store.list("p/", most=10)] == ["p/1.csv"]
        assert (await store.fetch("p/1.csv", tmp_path / "came", bytes_max=4)).size == 1
        for refused in (store.put("p/2.csv", tmp_path / "came"), store.remove("p/1.csv")):
            with pytest.raises(CredentialRejected, match=r"\(AuthorizationPermissionMismatch\); it needs the role"):
                await refused

    using(work, azurite, sas("signed", "rl"), "signed")


@pytest.mark.parametrize(
    ("secret", "code"),
    [
        (json.dumps({"account_key": "b3RoZXI="}), "AuthorizationFailure"),
        (sas("closed", "rl", -HOUR), "AuthorizationFailure"),
        (sas("another", "rl"), "AuthorizationFailure"),
        (sas("closed", "r"), "AuthorizationPermissionMismatch"),
    ],
    ids=["another key", "expired", "of another container", "without list"],
)
def test_a_credential_that_does_not_open_the_container(azurite: Azurite, secret: str, code: str) -> None:
    async def work(store: Any) -> None:
        with pytest.raises(CredentialRejected, match="Azure refuses the credential") as refused:
            await store.list("p/", most=10)
        assert code in str(refused.value)
        assert json.loads(secret).popitem()[1] not in str(refused.value)

    using(work, azurite, secret, "closed")


def test_a_container_that_does_not_exist(azurite: Azurite) -> None:
    async def work(store: Any) -> None:
        await store.list("p/", most=10)

    with pytest.raises(StepFailed, match=r"azure://acmebills/absent/p/ does not exist \(ContainerNotFound\)"):
        using(work, azurite, container="absent")
