"""Buckets of OCI: the signature against what Oracle's SDK made, the store against a server that checks it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from convergence.adapters.http.client import StepClient
from convergence.adapters.objects.oci import open_oci
from convergence.adapters.objects.oci_signature import authorization, read_key
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place
from convergence.sandbox.http import HttpServer, Request, Response
from tests.contract.warehouse.world import StoppedClock

VECTORS = json.loads(Path(__file__).with_name("oci_signatures.json").read_text())
FIELDS = {name: VECTORS[name] for name in ("tenancy", "user", "fingerprint", "private_key")}
SECRET = json.dumps(FIELDS)
PLACE = Place(kind="oci", root="ocid1.tenancy.oc1..t", options={"region": "us-ashburn-1"})
PUBLIC: Any = load_pem_private_key(FIELDS["private_key"].encode(), None).public_key()
FILES = {f"FOCUS Reports/2024/09/0{number}/1.csv.gz": b"x" * number for number in range(1, 6)}
ROOT = "/n/bling/b/ocid1.tenancy.oc1..t/o"


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=["list", "get"])
def test_the_signature_is_that_of_the_sdk(vector: dict[str, str]) -> None:
    host, slash, target = vector["url"].removeprefix("https://").partition("/")
    made = authorization(read_key(FIELDS), target=slash + target, host=host, date=vector["date"])
    assert made == vector["authorization"]


def check_signature(request: Request, target: str) -> None:
    signature = re.search(r'signature="([^"]+)"', request.headers["authorization"])
    assert signature is not None
    text = f"date: {request.headers['date']}\n(request-target): get {target}\nhost: {request.headers['host']}"
    PUBLIC.verify(base64.b64decode(signature[1]), text.encode(), PKCS1v15(), SHA256())


def answer(request: Request) -> Response:
    """A bucket that gives two files a page."""
    if request.path != ROOT:
        name = request.path.removeprefix(f"{ROOT}/").replace("%20", " ")
        if name not in FILES:
            return Response(404, b'{"code": "ObjectNotFound"}')
        check_signature(request, f"{ROOT}/{name.replace(' ', '%20')}")
        return Response(200, FILES[name], {"etag": "e", "last-modified": "Mon, 12 Jan 2026 10:00:00 GMT"})
    asked = dict(request.query)
    names = [name for name in FILES if name.startswith(asked["prefix"]) and name >= asked.get("start", "")]
    objects = [
        {"name": name, "size": len(FILES[name]), "timeModified": "2026-01-12T10:00:00.123000+00:00", "etag": "e"}
        for name in names[:2]
    ]
    more = {"nextStartWith": names[2]} if len(names) > 2 else {}
    return Response(200, json.dumps({"objects": objects, **more}).encode())


def using(work: Any, handler: Any = answer) -> Any:
    async def main() -> Any:
        server = HttpServer(handler)
        endpoint = await server.start()
        async with StepClient() as client:
            store = open_oci(PLACE, SECRET, http=lambda: client, clock=StoppedClock(), endpoint=endpoint)
            try:
                return await work(store)
            finally:
                await server.stop()

    return asyncio.run(main())


def test_files_are_listed_over_pages_and_fetched(tmp_path: Path) -> None:
    async def work(store: Any) -> None:
        listed = await store.list("FOCUS Reports/2024/09/", most=10)
        assert [(each.name, each.size) for each in listed] == [(name, len(data)) for name, data in FILES.items()]
        came = await store.fetch(listed[3].name, tmp_path / "came", bytes_max=4)
        assert (came.size, came.tag, (tmp_path / "came").read_bytes()) == (4, "e", b"xxxx")
        with pytest.raises(StepFailed, match="more than 3 files"):
            await store.list("", most=3)
        with pytest.raises(StepFailed, match="in one answer"):
            await store.fetch(listed[3].name, tmp_path / "came", bytes_max=3)
        with pytest.raises(StepFailed, match="ObjectNotFound"):
            await store.fetch("gone", tmp_path / "came", bytes_max=100)

    using(work)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b'{"code": "NotAuthenticated"}', CredentialRejected, "endorse group"),
        (404, b'{"code": "NamespaceNotFound"}', StepFailed, "the credential may not read it"),
        (429, b'{"code": "TooManyRequests"}', Transient, "OCI is busy"),
        (503, b"no", Transient, "OCI is busy"),
        (400, b'{"code": "InvalidParameter"}', StepFailed, "InvalidParameter"),
        (200, b'{"objects": [], "nextStartWith": ""}', type(None), ""),
        (200, b"<html>", Transient, "the listing is not JSON"),
        (200, b"{}", StepFailed, "no list `objects`"),
    ],
)
def test_what_oci_says_is_told(status: int, body: bytes, kind: type[Any], said: str) -> None:
    async def work(store: Any) -> ConvergenceError | None:
        try:
            await store.list("x", most=10)
        except ConvergenceError as error:
            return error
        return None

    error = using(work, lambda _: Response(status, body))
    assert type(error) is kind
    assert said in str(error)


@pytest.mark.parametrize(
    ("place", "secret", "said"),
    [
        (Place(kind="oci", root="b", options={"region": "evil.example/x"}), SECRET, "is not a region of OCI"),
        (Place(kind="oci", root="a/../b", options={"region": "us-ashburn-1"}), SECRET, "bucket and namespace"),
        (PLACE, "key", "the credential of oci must be JSON"),
        (PLACE, json.dumps({**FIELDS, "private_key": "no PEM"}), "is not a PEM key"),
    ],
)
def test_what_is_not_of_its_form_is_refused(place: Place, secret: str, said: str) -> None:
    with pytest.raises(StepFailed, match=re.escape(said)):
        open_oci(place, secret, http=StepClient, clock=StoppedClock(), endpoint="")
