"""Buckets of three clouds on this machine, as the vendors' own clients ask for them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.parse import unquote

import boto3
import google_crc32c
from moto.server import ThreadedMotoServer

from convergence.sandbox import google
from convergence.sandbox.http import HttpServer, Request, Response
from tests.azurite import server as azurite


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket `finance`. `address` is that of the folder `focus` in it, `files` returns what it holds by name.

    `registry`: what the registry of providers says of it, for the line `anchor`; `setup` is the pipeline that stores
    `key`.
    """

    address: str
    files: Callable[[], Mapping[str, bytes]]
    anchor: str
    registry: str
    setup: str
    key: str


@contextmanager
def s3() -> Iterator[Bucket]:
    """A bucket of moto."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="finance")

    def files() -> dict[str, bytes]:
        names = [each["Key"] for each in client.list_objects_v2(Bucket="finance").get("Contents", ())]
        return {name: client.get_object(Bucket="finance", Key=name)["Body"].read() for name in names}

    try:
        yield Bucket(
            address="s3://finance/focus?region=us-east-1",
            files=files,
            anchor="    display_name: AWS\n",
            registry=f"    display_name: AWS\n    api_base_url: {url}\n",
            setup="aws/auth/setup",
            key=json.dumps({"access_key_id": "AKIATEST", "secret_access_key": "secret-of-acme"}),
        )
    finally:
        client.close()
        server.stop()


@contextmanager
def azure() -> Iterator[Bucket]:
    """A container of Azurite."""
    with (
        TemporaryDirectory() as folder,
        azurite.running(Path(folder)) as server,
        server.container("finance") as container,
    ):
        yield Bucket(
            address=f"azure://{azurite.ACCOUNT}/finance/focus",
            files=lambda: azurite.stored(container),
            anchor="    display_name: Azure\n",
            registry=f"    display_name: Azure\n    api_base_url: {server.url}\n",
            setup="azure/auth/setup",
            key=json.dumps({"account_key": azurite.KEY}),
        )


@contextmanager
def gcs() -> Iterator[Bucket]:
    """A bucket that answers as Cloud Storage does to the token of a service account."""
    files: dict[str, bytes] = {}

    def stored(name: str) -> dict[str, str]:
        checksum = base64.b64encode(google_crc32c.value(files[name]).to_bytes(4, "big")).decode()
        facts = {"name": name, "size": str(len(files[name])), "generation": "1", "crc32c": checksum}
        return {**facts, "updated": "2026-01-12T10:00:00Z"}

    def answer(request: Request) -> Response:
        if google.is_ours(request.path):
            return google.answer(request)
        assert request.headers["authorization"] == f"Bearer {google.TOKEN}"
        if request.method == "GET":
            prefix = dict(request.query)["prefix"]
            found = [stored(name) for name in sorted(files) if name.startswith(prefix)]
            return Response(200, json.dumps({"items": found}).encode())
        if request.method == "DELETE":
            gone = files.pop(unquote(request.path.partition("/b/finance/o/")[2]), None)
            return Response(404, b"{}") if gone is None else Response(204, b"")
        assert request.path == "/upload/storage/v1/b/finance/o"
        boundary = request.headers["content-type"].partition("boundary=")[2].strip("\"'").encode()
        _, facts, media, _ = request.body.split(b"--" + boundary)
        name, content = json.loads(facts.partition(b"\r\n\r\n")[2])["name"], media.partition(b"\r\n\r\n")[2][:-2]
        files[name] = content
        return Response(200, json.dumps(stored(name)).encode())

    with served(answer) as url:
        entry = f"  gcs:\n    type: cloud\n    credential_type: SERVICE_ACCOUNT_JSON\n    api_base_url: {url}\n"
        yield Bucket(
            address="gs://finance/focus",
            files=lambda: files,
            anchor="  gcp:\n",
            registry=f"{entry}  gcp:\n",
            setup="gcp/auth/setup",
            key=google.service_account(f"{url}/v1"),
        )


@contextmanager
def served(answer: Callable[[Request], Response]) -> Iterator[str]:
    """Serve on a thread of its own; yield the address."""
    loop, server = asyncio.new_event_loop(), HttpServer(answer)
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
