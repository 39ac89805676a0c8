"""Apps of Entra at containers of Azure: a token from a loopback server opens Azurite, which checks whom it is for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from convergence.adapters.http.client import StepClient
from convergence.adapters.local.clock import SystemClock
from convergence.adapters.objects import azure_blob
from convergence.adapters.objects.azure_blob import app_token, open_azure
from convergence.errors import CredentialRejected
from convergence.ports.object_store import Place
from convergence.sandbox.http import HttpServer, Request, Response
from tests.azurite.server import ACCOUNT, Azurite, running
from tests.unit.adapters.certificates import certificate

APP = {"tenant_id": "contoso.example", "client_id": "app"}
SECRET = json.dumps({**APP, "client_secret": "s3cret"})
PLACE = Place(kind="azure", root="exports", options={"account": ACCOUNT})


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azurite over TLS, which the client wants before it sends a token; this process trusts its certificate."""
    folder = tmp_path_factory.mktemp("azurite")
    own = certificate(folder, "localhost")
    with (
        pytest.MonkeyPatch.context() as patch,
        running(folder, "--oauth", "basic", "--cert", own, "--key", own) as server,
    ):
        patch.setenv("REQUESTS_CA_BUNDLE", str(own))
        named = Azurite(server.url.replace("127.0.0.1", "localhost"))
        named.container(PLACE.root)
        yield named


def token(audience: str, seconds: int) -> str:
    """Return a token as Entra issues it, without its signature, which Azurite does not check."""
    now = int(SystemClock().now().timestamp())
    claims = {"aud": audience, "iss": "https://sts.windows.net/contoso/", "iat": now, "nbf": now - 60}
    parts = ({"alg": "none", "typ": "JWT"}, {**claims, "exp": now + seconds})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def using(
    work: Any, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, secret: str = SECRET, seconds: int = 600
) -> Any:
    """Run where Entra is a server that issues tokens for what is asked for."""

    def answer(request: Request) -> Response:
        [scope] = parse_qs(request.body.decode())["scope"]
        issued = token(scope.removesuffix("/.default"), seconds)
        return Response(200, json.dumps({"access_token": issued, "expires_in": seconds}).encode())

    async def main() -> Any:
        entra = HttpServer(answer)
        monkeypatch.setattr(azure_blob, "app_token", partial(app_token, login=await entra.start()))
        async with StepClient() as client:
            store = open_azure(PLACE, secret, http=lambda: client, endpoint=azurite.url)
            try:
                return await work(store)
            finally:
                await store.close()
                await entra.stop()

    return asyncio.run(main())


@pytest.mark.parametrize("proof", ["client_secret", "client_assertion"])
def test_an_app_reads_and_writes_with_its_token(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proof: str
) -> None:
    async def work(store: Any) -> None:
        (tmp_path / "own").write_bytes(b"four")
        await store.put("p/1.csv", tmp_path / "own")
        assert [(each.name, each.size) for each in await store.list("p/", most=10)] == [("p/1.csv", 4)]
        assert (await store.fetch("p/1.csv", tmp_path / "came", bytes_max=4)).size == 4

    using(work, azurite, monkeypatch, secret=json.dumps({**APP, proof: "s3cret"}))


def test_a_token_that_has_expired_is_refused(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: Any) -> None:
        await store.list("p/", most=10)

    with pytest.raises(CredentialRejected, match=r"refuses the credential \(AuthenticationFailed\)"):
        using(work, azurite, monkeypatch, seconds=-30)
