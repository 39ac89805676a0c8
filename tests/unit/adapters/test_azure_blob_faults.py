"""Containers of Azure: what Azurite does not answer, and credentials that are not of their form."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from convergence.adapters.http.client import StepClient
from convergence.adapters.objects.azure_blob import app_token, open_azure, read_keys
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place
from convergence.sandbox.http import HttpServer, Request, Response

KEY = json.dumps({"account_key": "c2VjcmV0LW9mLXRoZS1vcmc="})
PLACE = Place(kind="azure", root="exports", options={"account": "acmebills"})
Handler = Callable[[Request], Response]


def using(work: Any, handler: Handler, secret: str = KEY) -> Any:
    async def main() -> Any:
        server = HttpServer(handler)
        store = open_azure(PLACE, secret, http=StepClient, endpoint=await server.start())
        try:
            return await work(store)
        finally:
            await store.close()
            await server.stop()

    return asyncio.run(main())


def failing(answer: Response) -> ConvergenceError:
    async def work(store: Any) -> None:
        await store.list("p/", most=10)

    try:
        using(work, lambda _: answer)
    except ConvergenceError as error:
        return error
    raise AssertionError("it succeeded")


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (403, "AuthorizationPermissionMismatch", CredentialRejected, "Storage Blob Data Reader"),
        (403, "AuthenticationFailed", CredentialRejected, "refuses the credential"),
        (404, "ContainerNotFound", StepFailed, "does not exist"),
        (400, "InvalidUri", StepFailed, "refuses the request"),
    ],
)
def test_what_azure_says_is_told(status: int, code: str, kind: type[Exception], said: str) -> None:
    error = failing(Response(status, b"", {"x-ms-error-code": code}))
    assert type(error) is kind
    assert said in str(error)
    assert code in str(error)


def test_an_app_gets_a_token() -> None:
    seen: list[Request] = []
    answers = iter(
        [
            Response(200, b'{"access_token": "t", "expires_in": 3599}'),
            Response(401, b'{"error": "invalid_client", "error_description": "s3cret"}'),
            Response(503),
        ]
    )

    def answer(request: Request) -> Response:
        seen.append(request)
        return next(answers)

    async def main() -> None:
        server = HttpServer(answer)
        url = await server.start()
        keys = {"tenant_id": "contoso.example", "client_id": "app", "client_secret": "s3cret"}
        async with StepClient() as client:
            assert await app_token(keys, lambda: client, url) == "t"
            with pytest.raises(CredentialRejected, match="its secret or assertion may have expired") as refused:
                await app_token(keys, lambda: client, url)
            with pytest.raises(Transient, match="Entra is busy"):
                await app_token(keys, lambda: client, url)
        await server.stop()
        assert "s3cret" not in str(refused.value)

    asyncio.run(main())
    assert seen[0].path == "/contoso.example/oauth2/v2.0/token"
    assert b"scope=https%3A%2F%2Fstorage.azure.com%2F.default" in seen[0].body


@pytest.mark.parametrize(
    ("place", "secret", "said"),
    [
        (Place(kind="azure", root="exports", options={"account": "evil.example/x"}), KEY, "name of a storage account"),
        (Place(kind="azure", root="../x", options={"account": "acmebills"}), KEY, "is not the name of a container"),
        (Place(kind="azure", root="exports", options={"account": "acmebills", "url": "u"}), KEY, "takes account only"),
        (PLACE, "key", "the credential of azure must be JSON"),
        (PLACE, '{"client_id": "a"}', "the credential of azure must be JSON"),
        (PLACE, '{"tenant_id": "a/b", "client_id": "a", "client_secret": "b"}', "tenant_id is not"),
    ],
)
def test_what_is_not_of_its_form_is_refused(place: Place, secret: str, said: str) -> None:
    with pytest.raises(StepFailed, match=re.escape(said)):
        open_azure(place, secret, http=StepClient, endpoint="")


def test_a_signature_of_its_own_is_a_credential() -> None:
    assert read_keys('{"sas_token": "?sv=1"}') == {"sas_token": "?sv=1"}
