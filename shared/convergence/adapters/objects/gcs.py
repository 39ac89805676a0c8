"""A bucket at Google Cloud, through google-cloud-storage."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from convergence.adapters.objects.threaded import ThreadedStore, require
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place, StoredObject

SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_TIMES_S: Final = (10, 60)  # to connect, and between two pieces of an answer
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ADVICE: Final = "it needs the role Storage Object Viewer on the bucket; to write, Storage Object User"


class GcsStore(ThreadedStore):
    """One bucket; `token` is asked for on first use, and the client made with it on a thread."""

    def __init__(self, bucket: str, token: Callable[[], Awaitable[str]], endpoint: str) -> None:
        super().__init__(f"gs://{bucket}")
        self._bucket, self._token, self._endpoint = bucket, token, endpoint

    async def _open(self) -> Any:
        return await asyncio.to_thread(_client, await self._token(), self._endpoint)

    def _list(self, client: Any, prefix: str, most: int) -> list[StoredObject]:
        found: list[StoredObject] = []
        for each in client.list_blobs(self._bucket, prefix=prefix, timeout=_TIMES_S, retry=None):
            if not each.name.endswith("/"):  # shown as a folder by consoles
                found.append(_stored(each))
            if len(found) > most:
                raise self._too_many(prefix, most)
        return sorted(found, key=lambda each: each.name)

    def _fetch(self, client: Any, name: str, into: Path, bytes_max: int) -> StoredObject:
        """Take the generation whose size was checked, as it is stored: Google would unpack what it calls gzip."""
        blob = client.bucket(self._bucket).get_blob(name, timeout=_TIMES_S, retry=None)
        if blob is None:
            raise missing(f"{self._shown}/{name}")
        if blob.size > bytes_max:
            raise self._too_large(name, blob.size, bytes_max)
        with into.open("wb") as target:
            blob.download_to_file(
                target, raw_download=True, if_generation_match=blob.generation, timeout=_TIMES_S, retry=None
            )
            if target.tell() != blob.size:
                raise Transient(f"{self._shown}/{name}: {target.tell():,} of {blob.size:,} bytes arrived")
        return _stored(blob)

    def _put(self, client: Any, name: str, content: Path) -> None:
        blob = client.bucket(self._bucket).blob(name)
        blob.upload_from_filename(
            str(content), content_type="application/octet-stream", timeout=_TIMES_S, retry=None, checksum="crc32c"
        )

    def _remove(self, client: Any, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with suppress(NotFound):
            client.bucket(self._bucket).blob(name).delete(timeout=_TIMES_S, retry=None)

    def _reported(self, error: Exception, shown: str) -> ConvergenceError | None:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption
        from requests import RequestException

        if isinstance(error, GoogleAPICallError):
            return gcs_error(error, shown)
        if isinstance(error, GoogleAuthError):
            return CredentialRejected(f"{shown}: Google refuses the token of the service account; {_ADVICE}")
        if isinstance(error, RequestException | DataCorruption):
            return Transient(f"{shown} could not be reached: {type(error).__name__}")
        return None


def open_gcs(place: Place, token: Callable[[], Awaitable[str]], *, endpoint: str) -> GcsStore:
    """Return the store of a bucket.

    `token` obtains an access token for `SCOPE`. `endpoint` comes from the registry of providers; empty for Google
    itself. Raises `StepFailed` for what is not a bucket.
    """
    require("google.cloud.storage", "gcs", "buckets of Google Cloud need google-cloud-storage")
    if not _BUCKET.fullmatch(place.root):
        raise StepFailed(f"{place.root[:70]!r} is not the name of a bucket")
    if place.options:
        raise StepFailed(
            f"source.options: {min(place.options)!r} is not a known option; a bucket of Google Cloud takes none"
        )
    return GcsStore(place.root, token, endpoint)


def _client(token: str, endpoint: str) -> Any:
    from google.cloud.storage import Client
    from google.oauth2.credentials import Credentials

    options = {"api_endpoint": endpoint} if endpoint else None
    return Client(project="unused", credentials=Credentials(token=token), client_options=options)


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, blob.size, blob.updated, str(blob.generation))


def missing(shown: str) -> StepFailed:
    """Return the error for a file or bucket that does not exist."""
    return StepFailed(f"{shown} does not exist: a part of this delivery is missing, or a name is wrong")


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
