"""A bucket at Google Cloud, through google-cloud-storage: its calls run on threads, few at a time."""

from __future__ import annotations

import asyncio
import builtins
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place, StoredObject

T = TypeVar("T")
CALLS_AT_ONCE: Final = 4
SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_only"
_TIMES_S: Final = (10, 60)  # to connect, and between two pieces of an answer
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADVICE: Final = "it needs the role Storage Object Viewer on the bucket"


class GcsStore:
    """One bucket; `token` is asked for on first use, and the client made with it on a thread."""

    def __init__(self, bucket: str, token: Callable[[], Awaitable[str]], endpoint: str) -> None:
        self._bucket, self._token, self._endpoint = bucket, token, endpoint
        self._client: Any = None
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)
        self._making = asyncio.Lock()

    async def list(self, prefix: str, *, most: int) -> builtins.list[StoredObject]:
        """Return the files; see the port."""
        return await self._call(lambda client: self._list(client, prefix, most), f"gs://{self._bucket}/{prefix}")

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Download a file; see the port."""
        shown = f"gs://{self._bucket}/{name}"
        return await self._call(lambda client: self._fetch(client, name, into, bytes_max), shown)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def _list(self, client: Any, prefix: str, most: int) -> builtins.list[StoredObject]:
        found: list[StoredObject] = []
        for each in client.list_blobs(self._bucket, prefix=prefix, timeout=_TIMES_S, retry=None):
            if not each.name.endswith("/"):  # what consoles show as a folder
                found.append(_stored(each))
            if len(found) > most:
                raise StepFailed(f"gs://{self._bucket}/{prefix} has more than {most:,} files: name a longer path")
        return sorted(found, key=lambda each: each.name)

    def _fetch(self, client: Any, name: str, into: Path, bytes_max: int) -> StoredObject:
        """Take the generation whose size was checked, as it is stored: Google would unpack what it calls gzip."""
        blob = client.bucket(self._bucket).get_blob(name, timeout=_TIMES_S, retry=None)
        if blob is None:
            raise missing(f"gs://{self._bucket}/{name}")
        if blob.size > bytes_max:
            raise StepFailed(f"gs://{self._bucket}/{name} has {blob.size:,} bytes, more than {bytes_max:,}")
        with into.open("wb") as target:
            blob.download_to_file(
                target, raw_download=True, if_generation_match=blob.generation, timeout=_TIMES_S, retry=None
            )
            if target.tell() != blob.size:
                raise Transient(f"gs://{self._bucket}/{name}: {target.tell():,} of {blob.size:,} bytes came")
        return _stored(blob)

    async def _call(self, work: Callable[[Any], T], shown: str) -> T:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption
        from requests import RequestException

        async with self._turns:
            try:
                async with self._making:
                    if self._client is None:
                        token = await self._token()
                        self._client = await asyncio.to_thread(_client, token, self._endpoint)
                return await asyncio.to_thread(work, self._client)
            except GoogleAPICallError as error:
                raise gcs_error(error, shown) from error
            except GoogleAuthError as error:
                raise CredentialRejected(
                    f"{shown}: Google refuses the token of the service account; {_ADVICE}"
                ) from error
            except (RequestException, DataCorruption) as error:
                raise Transient(f"{shown} could not be read: {type(error).__name__}") from error


def open_gcs(place: Place, token: Callable[[], Awaitable[str]], *, endpoint: str) -> GcsStore:
    """Return the store of a bucket.

    `token` obtains an access token for `SCOPE`. `endpoint` comes from the registry of providers; empty for Google
    itself. Raises `StepFailed` for what is not a bucket.
    """
    try:
        import google.cloud.storage  # noqa: F401
    except ImportError:
        raise StepFailed(
            "buckets of Google Cloud need google-cloud-storage: install convergence-pipelines[gcs]"
        ) from None
    if not _BUCKET.fullmatch(place.root):
        raise StepFailed(f"{place.root[:70]!r} is not the name of a bucket")
    if place.options:
        raise StepFailed(f"source.options: {min(place.options)!r} is not known; a bucket of Google Cloud has none")
    return GcsStore(place.root, token, endpoint)


def _client(token: str, endpoint: str) -> Any:
    from google.cloud import storage
    from google.oauth2.credentials import Credentials

    options = {"api_endpoint": endpoint} if endpoint else None
    return storage.Client(project="unused", credentials=Credentials(token=token), client_options=options)


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, blob.size, blob.updated, str(blob.generation))


def missing(shown: str) -> StepFailed:
    """Return the error for a file or bucket that does not exist."""
    return StepFailed(f"{shown} is not there: a part of this delivery is missing, or a name is wrong")


def gcs_error(error: Any, shown: str) -> ConvergenceError:
    """Return the product's error for Google's, with what to do; the request is left out."""
    status = int(error.code or 0)
    if status in {401, 403}:
        return CredentialRejected(f"{shown}: Google refuses the service account ({status}); {_ADVICE}")
    if status == 404:
        return missing(shown)
    if status in {0, 408, 412, 429} or status >= 500:  # 412: the file was replaced while it was read
        return Transient(f"{shown}: Google Cloud Storage cannot be reached or is busy ({status})")
    return StepFailed(f"{shown}: Google refuses the request ({status})")
