"""Azurite in a process of its own, and containers in it that tests fill and look into."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from convergence.adapters.local.clock import SystemClock
from tests.azurite.environment import program_of

REQUIRED: Final = "CONVERGENCE_REQUIRE_AZURITE"
ACCOUNT: Final = "acmebills"
KEY: Final = base64.b64encode(b"secret-of-the-org").decode()
_LISTENS: Final = re.compile(r"successfully listens on (https?://\S+)")


@dataclass(frozen=True)
class Azurite:
    """A running server with the account `ACCOUNT`, at `url`."""

    url: str

    def container(self, name: str, blobs: Mapping[str, bytes] | None = None) -> ContainerClient:
        """Make a container with `blobs`; return the vendor's client of it."""
        client = ContainerClient(
            f"{self.url}/{ACCOUNT}", name, credential={"account_name": ACCOUNT, "account_key": KEY}
        )
        client.create_container()
        for path, data in (blobs or {}).items():
            client.upload_blob(path, data)
        return client


@contextmanager
def running(folder: Path, *options: str | Path) -> Iterator[Azurite]:
    """Start it with its data in `folder`. Skips aloud where it is not installed; fails there when CI asks for it."""
    program = program_of()
    if program is None:
        if os.environ.get(REQUIRED):
            pytest.fail("Azurite is not installed: run `make azurite`")
        pytest.skip("Azurite is not installed: run `make azurite` (needs npm)")
    # The newest clients ask for versions of the API that it does not list.
    command: list[str | Path] = ["node", program, "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--location", folder, "--blobHost", "127.0.0.1", "--blobPort", "0", *options]
    account = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    with subprocess.Popen(command, env=account, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Azurite(_address(process))
        finally:
            process.kill()


def signature(container: str, permission: str, ends: timedelta = timedelta(hours=1)) -> str:
    """Return a shared access signature for a container, such as `rl` to read and list, that ends so long from now."""
    until = SystemClock().now() + ends  # Azurite looks at the machine's clock, too
    allowed = ContainerSasPermissions.from_string(permission)
    return generate_container_sas(ACCOUNT, container, account_key=KEY, permission=allowed, expiry=until)


def stored(container: ContainerClient) -> dict[str, bytes]:
    """Return what a container holds, by name."""
    return {each.name: container.download_blob(each.name).readall() for each in container.list_blobs()}


def _address(process: subprocess.Popen[str]) -> str:
    """Return where it listens, once it says so."""
    said: list[str] = []
    for line in process.stdout or ():
        said.append(line)
        if found := _LISTENS.search(line):
            return found[1]
    raise RuntimeError(f"Azurite did not start: {''.join(said)}")
