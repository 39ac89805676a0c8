"""A container in Azure, through azure-storage-blob."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.adapters.objects.threaded import ThreadedStore, require
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.http import entra
from convergence.ports.http.reach import unreachable
from convergence.ports.object_store import Place, StoredObject

if TYPE_CHECKING:
    import httpx

SCOPE: Final = "https://storage.azure.com/.default"
_CONTAINER: Final = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_FORMS: Final = (frozenset({"sas_token"}), frozenset({"account_key"}))
_ADVICE: Final = "it needs the role Storage Blob Data Reader on the container; to write, Storage Blob Data Contributor"


class AzureStore(ThreadedStore):
    """One container; `credential` is asked for on first use, `client` made of it on a thread."""

    def __init__(self, shown: str, credential: Callable[[], Awaitable[Any]], client: Callable[[Any], Any]) -> None:
        super().__init__(shown)
        self._credential, self._make = credential, client

    async def _open(self) -> Any:
        return await asyncio.to_thread(self._make, await self._credential())

    def _list(self, client: Any, prefix: str, most: int) -> list[StoredObject]:
        found: list[StoredObject] = []
        for each in client.list_blobs(name_starts_with=prefix):
            found.append(StoredObject(each.name, each.size, each.last_modified, str(each.etag)))
            if len(found) > most:
                raise self._too_many(prefix, most)
        return sorted(found, key=lambda each: each.name)

    def _fetch(self, client: Any, name: str, into: Path, bytes_max: int) -> StoredObject:
        download = client.download_blob(name, max_concurrency=1)
        facts = download.properties
        if facts.size > bytes_max:
            raise self._too_large(name, facts.size, bytes_max)
        with into.open("wb") as target:
            came = download.readinto(target)
        if came != facts.size:
            raise Transient(f"{self._shown}/{name}: {came:,} of {facts.size:,} bytes arrived")
        tag = str(facts.etag).strip('"')  # as in a list, where Azure does not quote it
        return StoredObject(name, facts.size, facts.last_modified, tag)

    def _put(self, client: Any, name: str, content: Path) -> None:
        with content.open("rb") as body:
            client.upload_blob(name, body, overwrite=True, max_concurrency=1)

    def _remove(self, client: Any, name: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        with suppress(ResourceNotFoundError):
            client.delete_blob(name)

    def _reported(self, error: Exception, shown: str) -> ConvergenceError | None:
        from azure.core.exceptions import AzureError

        return azure_error(error, shown) if isinstance(error, AzureError) else None


def open_azure(place: Place, secret: str, *, http: Callable[[], httpx.AsyncClient], endpoint: str) -> AzureStore:
    """Return the store of a container.

    `secret` is JSON: tenant_id, client_id, and client_secret or client_assertion of an app; or sas_token; or
    account_key. `endpoint` comes from the registry of providers; empty for Azure itself. Raises `StepFailed` for what
    is not of these forms.
    """
    require("azure.storage.blob", "azure", "containers of Azure need azure-storage-blob")
    account = place.options.get("account", "")
    if not _ACCOUNT.fullmatch(account):
        raise StepFailed("source.options.account is not the name of a storage account")
    if place.options.keys() - {"account"}:
        raise StepFailed("source.options: a container of Azure takes account only")
    if not _CONTAINER.fullmatch(place.root):
        raise StepFailed(f"{place.root[:70]!r} is not the name of a container")
    keys = read_keys(secret)

    async def credential() -> Any:
        return await _credential(keys, account, http)

    def client(found: Any) -> Any:
        from azure.storage.blob import ContainerClient

        url = f"{endpoint.rstrip('/')}/{account}" if endpoint else f"https://{account}.blob.core.windows.net"
        times: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60, "retry_total": 2}
        return ContainerClient(url, place.root, credential=found, **times)

    return AzureStore(f"azure://{account}/{place.root}", credential, client)


def read_keys(secret: str) -> Mapping[str, str]:
    """Return a credential's fields. Raises `StepFailed`, without its text."""
    try:
        found = orjson.loads(secret)
    except orjson.JSONDecodeError:
        found = None
    if entra.is_app(found):
        app: Mapping[str, str] = found
        return app
    if not isinstance(found, dict) or found.keys() not in _FORMS or not all(isinstance(v, str) for v in found.values()):
        raise StepFailed(
            "the credential of azure must be JSON with tenant_id, client_id, and client_secret or client_assertion; or"
            " sas_token; or account_key"
        )
    return found


async def _credential(keys: Mapping[str, str], account: str, http: Callable[[], httpx.AsyncClient]) -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if "sas_token" in keys:
        return AzureSasCredential(keys["sas_token"].lstrip("?"))
    if "account_key" in keys:
        return AzureNamedKeyCredential(account, keys["account_key"])
    return _Token(await app_token(keys, http))


async def app_token(
    keys: Mapping[str, str],
    http: Callable[[], httpx.AsyncClient],
    login: str = entra.LOGIN,
) -> str:
    """Return an access token of the app for storage.

    Raises `CredentialRejected` when Entra refuses the app, `Transient` when it is busy.
    """
    import httpx

    try:
        answer = await http().post(entra.token_url(keys, login), data=entra.token_form(keys, SCOPE))
    except httpx.HTTPError as error:
        raise Transient(f"Entra could not be reached for a token: {unreachable(error)}") from error
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Transient(f"Entra is busy ({answer.status_code})")
    try:
        return str(orjson.loads(answer.content)["access_token"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise CredentialRejected(
            f"Entra refuses the app a token ({answer.status_code}): its secret or assertion may have expired;"
            " store a new one"
        ) from None


class _Token:
    """A token that was obtained already, as the client wants to ask for it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> Any:
        """Return it without a near end: it was made for this execution, and Azure refuses it once it has expired."""
        from azure.core.credentials import AccessToken

        return AccessToken(self._token, 2**31 - 1)


def azure_error(error: Any, shown: str) -> ConvergenceError:
    """Return the product's error for Azure's, with what to do; the request is left out."""
    status, found = getattr(error, "status_code", None), getattr(error, "error_code", None)
    code = str(getattr(found, "value", found) or type(error).__name__)
    if status in {401, 403}:
        return CredentialRejected(f"{shown}: Azure refuses the credential ({code}); {_ADVICE}")
    if status == 404:
        return StepFailed(f"{shown} does not exist ({code}): a part of this delivery is missing, or a name is wrong")
    if status is None or status >= 500 or status == 429:
        return Transient(f"{shown}: Azure cannot be reached or is busy ({code})")
    return StepFailed(f"{shown}: Azure refuses the request ({code})")
