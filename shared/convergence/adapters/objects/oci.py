"""A bucket of OCI's Object Storage over plain HTTP with own signatures: the SDK is 250 MB.

Cost reports are in Oracle's own tenancy: namespace `bling`, a bucket named like the customer's tenancy
(https://docs.oracle.com/iaas/Content/Billing/Concepts/usagereportsoverview.htm).
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx
import orjson

from convergence.adapters.objects.oci_signature import ApiKey, authorization, read_key
from convergence.errors import CredentialRejected, StepFailed, Transient
from convergence.ports.clock import Clock
from convergence.ports.http.reach import unreachable
from convergence.ports.object_store import Place, StoredObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE: Final = 1_000
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}")
_NAME: Final = re.compile(r"[\w.-]{1,256}")
_FIELDS: Final = frozenset({"tenancy", "user", "fingerprint", "private_key"})
_ADVICE: Final = (
    "it needs `define tenancy usage-report as ORACLE'S OCID` and `endorse group GROUP to read objects in tenancy"
    " usage-report`"
)


class OciStore:
    """One bucket; the process's client sends the requests, so nothing is open here."""

    def __init__(
        self, root: str, bucket: str, key: ApiKey, http: Callable[[], httpx.AsyncClient], clock: Clock
    ) -> None:
        """`root` is the address of the bucket's objects, without a slash at its end."""
        self._root, self._bucket, self._key, self._http, self._clock = root, bucket, key, http, clock

    async def list(self, prefix: str, *, most: int) -> builtins.list[StoredObject]:
        """Return the files; see the port."""
        found: list[StoredObject] = []
        start = ""
        while True:
            query = {"prefix": prefix, "limit": str(PAGE), "fields": "name,size,timeModified,etag"}
            query |= {"start": start} if start else {}
            async with self._get(f"{self._root}?{urlencode(query, quote_via=quote)}", prefix, 2**24) as answer:
                page = _page(await answer.aread(), self._shown(prefix))
            found += [_described(each) for each in page["objects"]]
            if len(found) > most:
                raise StepFailed(f"{self._shown(prefix)} has more than {most:,} files: name a more specific path")
            following = page.get("nextStartWith")
            if not following:
                return sorted(found, key=lambda each: each.name)
            if str(following) <= start:
                raise StepFailed(f"{self._shown(prefix)}: the listing does not continue after {start!r}")
            start = str(following)

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Download a file; see the port."""
        size = 0
        async with self._get(f"{self._root}/{quote(name)}", name, bytes_max) as answer:
            with into.open("wb") as target:
                async for piece in answer.aiter_raw():
                    size += len(piece)
                    target.write(piece)
            expected = answer.headers.get("content-length", "")
            if expected.isdigit() and int(expected) != size:
                raise Transient(f"{self._shown(name)}: {size:,} of {expected} bytes arrived")
            try:
                modified = parsedate_to_datetime(answer.headers.get("last-modified", ""))
            except (TypeError, ValueError):
                modified = self._clock.now()
            return StoredObject(name, size, modified, answer.headers.get("etag", ""))

    async def close(self) -> None:
        """Nothing is open."""

    def _shown(self, name: str) -> str:
        return f"oci://{self._bucket}/{name}"

    @asynccontextmanager
    async def _get(self, url: str, name: str, bytes_max: int) -> AsyncIterator[httpx.Response]:
        sent = httpx.URL(url)  # httpx's spelling is what is sent, and what is signed
        target, host = sent.raw_path.decode(), sent.netloc.decode()
        date = format_datetime(self._clock.now().astimezone(UTC), usegmt=True)
        headers = {
            "accept-encoding": "identity",
            "date": date,
            "authorization": authorization(self._key, target=target, host=host, date=date),
        }
        try:
            async with self._http().stream("GET", sent, headers=headers, extensions={"bytes_max": bytes_max}) as answer:
                await _check(answer, self._shown(name))
                yield answer
        except httpx.HTTPError as error:
            raise Transient(f"{self._shown(name)} could not be read: {unreachable(error)}") from error


async def _check(answer: httpx.Response, shown: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    code = ""
    if "json" in answer.headers.get("content-type", ""):
        try:
            code = str(orjson.loads(await answer.aread()).get("code", ""))[:60]
        except (orjson.JSONDecodeError, AttributeError):
            code = ""
    reported = f"{status} {code}".strip()
    if status == 401 and "clock" in code.lower():
        raise StepFailed(f"{shown}: OCI rejects the signature as too old: correct the clock of this machine")
    if status in {401, 403}:
        raise CredentialRejected(f"{shown}: OCI refuses the credential ({reported}); {_ADVICE}")
    if status == 404:  # OCI also answers this to callers without permission
        raise StepFailed(f"{shown} does not exist, or the credential may not read it ({reported}); {_ADVICE}")
    if status >= 500 or status in {409, 429}:
        raise Transient(f"{shown}: OCI is busy ({reported})")
    raise StepFailed(f"{shown}: OCI refuses the request ({reported})")


def _page(data: bytes, shown: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Transient(f"{shown}: the listing is not JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("objects"), list):
        raise StepFailed(f"{shown}: the listing has no list `objects`")
    return found


def _described(each: Mapping[str, Any]) -> StoredObject:
    modified = datetime.fromisoformat(str(each["timeModified"]))
    return StoredObject(str(each["name"]), int(each["size"]), modified, str(each.get("etag", "")))


def open_oci(
    place: Place, secret: str, *, http: Callable[[], httpx.AsyncClient], clock: Clock, endpoint: str
) -> OciStore:
    """Return the store of a bucket; `root` is its name, `options` have the home region, and the namespace if it is not
    `bling`.

    `secret` is JSON: tenancy, user, fingerprint, private_key (PEM), and a passphrase if it has one. `endpoint` comes
    from the registry of providers; empty for OCI itself. Raises `StepFailed` for what is not of these forms.
    """
    region, namespace = place.options.get("region", ""), place.options.get("namespace") or "bling"
    if place.options.keys() - {"region", "namespace"}:
        raise StepFailed("source.options: a bucket of OCI needs region and namespace")
    if not _REGION.fullmatch(region):
        raise StepFailed("source.options.region is not a region of OCI, such as us-ashburn-1")
    if not _NAME.fullmatch(place.root) or not _NAME.fullmatch(namespace):
        raise StepFailed("bucket and namespace must consist of letters, digits, dots, dashes and underscores")
    try:
        fields = orjson.loads(secret)
    except orjson.JSONDecodeError:
        fields = None
    if (
        not isinstance(fields, dict)
        or fields.keys() - {"passphrase"} != _FIELDS
        or not all(isinstance(value, str) for value in fields.values())
    ):
        raise StepFailed("the credential of oci must be JSON with tenancy, user, fingerprint and private_key")
    base = endpoint.rstrip("/") or f"https://objectstorage.{region}.oraclecloud.com"
    return OciStore(f"{base}/n/{namespace}/b/{place.root}/o", place.root, read_key(fields), http, clock)
