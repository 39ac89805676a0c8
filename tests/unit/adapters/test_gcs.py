"""Buckets of Google Cloud: the real client against a server that answers objects.list, objects.get and its media."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import google_crc32c
import pytest

from convergence.adapters.objects.gcs import open_gcs
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient
from convergence.ports.object_store import Place
from convergence.sandbox.http import HttpServer, Request, Response

PLACE = Place(kind="gcs", root="exports")
Handler = Callable[[Request], Response]


async def token() -> str:
    return "access"


class Bucket:
    """Two files a page, as the JSON API gives them (Cloud Storage JSON API v1, objects)."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files, self.requests = files, list[Request]()

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        path, asked = request.path, dict(request.query)
        if path.endswith("/b/exports/o"):
            names = [name for name in sorted(self.files) if name.startswith(asked["prefix"])]
            first = int(asked.get("pageToken", 0))
            more = {"nextPageToken": str(first + 2)} if len(names) > first + 2 else {}
            return answer({"items": [self.facts(name) for name in names[first : first + 2]], **more})
        name = unquote(path.partition("/o/")[2])
        if name not in self.files:
            return Response(404, b'{"error": {"code": 404, "message": "No such object"}}')
        if asked.get("alt") == "media":
            assert asked["ifGenerationMatch"] == "7"
            headers = {"x-goog-hash": f"crc32c={checksum(self.files[name])}"}
            return Response(200, self.files[name], headers, content_type="text/csv")
        return answer(self.facts(name))

    def facts(self, name: str) -> dict[str, Any]:
        size, updated = str(len(self.files[name])), "2026-01-12T10:00:00.123Z"
        return {"name": name, "bucket": "exports", "size": size, "updated": updated, "generation": "7"}


def answer(data: dict[str, Any]) -> Response:
    return Response(200, json.dumps(data).encode())


def checksum(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def using(work: Any, handler: Handler, place: Place = PLACE) -> Any:
    async def main() -> Any:
        server = HttpServer(handler)
        store = open_gcs(place, token, endpoint=await server.start())
        try:
            return await work(store)
        finally:
            await store.close()
            await server.stop()

    return asyncio.run(main())


def test_files_are_written_replaced_and_removed(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}

    def handler(request: Request) -> Response:
        if request.method == "DELETE":
            gone = files.pop(unquote(request.path.partition("/o/")[2]), None)
            return Response(404, b"{}") if gone is None else Response(204, b"")
        assert request.path == "/upload/storage/v1/b/exports/o"
        assert dict(request.query)["uploadType"] == "multipart"
        boundary = request.headers["content-type"].partition("boundary=")[2].strip("\"'").encode()
        _, facts, media, _ = request.body.split(b"--" + boundary)
        (name, content) = (json.loads(facts.partition(b"\r\n\r\n")[2])["name"], media.partition(b"\r\n\r\n")[2][:-2])
        files[name] = content
        return answer({"name": name, "size": str(len(content)), "generation": "8", "crc32c": checksum(content)})

    async def work(store: Any) -> None:
        for text in ("first", "second"):
            (tmp_path / "own").write_text(text)
            await store.put("focus/ä b.csv", tmp_path / "own")
        assert files == {"focus/ä b.csv": b"second"}
        for _ in range(2):  # one that does not exist is fine
            await store.remove("focus/ä b.csv")
        assert files == {}

    using(work, handler)


def test_files_are_listed_over_pages_and_fetched(tmp_path: Path) -> None:
    bucket = Bucket({f"p/{number} ä.csv": b"x" * number for number in range(5)} | {"p/folder/": b""})

    async def work(store: Any) -> None:
        listed = await store.list("p/", most=10)
        assert [(each.name, each.size, each.tag) for each in listed] == [
            (f"p/{number} ä.csv", number, "7") for number in range(5)
        ]
        came = await store.fetch("p/4 ä.csv", tmp_path / "came", bytes_max=4)
        assert (came.size, (tmp_path / "came").read_bytes()) == (4, b"xxxx")
        assert (await store.fetch("p/0 ä.csv", tmp_path / "came", bytes_max=4)).size == 0
        with pytest.raises(StepFailed, match="has 4 bytes, more than 3"):
            await store.fetch("p/4 ä.csv", tmp_path / "came", bytes_max=3)
        with pytest.raises(StepFailed, match="more than 4 files"):
            await store.list("p/", most=4)
        with pytest.raises(StepFailed, match=r"gs://exports/p/9\.csv does not exist"):
            await store.fetch("p/9.csv", tmp_path / "came", bytes_max=9)

    using(work, bucket)
    assert {request.headers["authorization"] for request in bucket.requests} == {"Bearer access"}


def test_packed_files_come_as_they_are_stored(tmp_path: Path) -> None:
    packed = gzip.compress(b"day,cost\n" * 100, mtime=0)
    bucket = Bucket({"p/a.csv.gz": packed})

    def handler(request: Request) -> Response:
        given = bucket(request)
        return (
            Response(given.status, given.body, {**given.headers, "content-encoding": "gzip"})
            if (dict(request.query).get("alt") == "media")
            else given
        )

    async def work(store: Any) -> None:
        await store.fetch("p/a.csv.gz", tmp_path / "came", bytes_max=1_000)
        assert (tmp_path / "came").read_bytes() == packed

    using(work, handler)


def test_bytes_that_do_not_match_their_checksum_are_asked_for_again(tmp_path: Path) -> None:
    bucket = Bucket({"p/a.csv": b"abcd"})

    def handler(request: Request) -> Response:
        given = bucket(request)
        return Response(200, b"abce", given.headers) if dict(request.query).get("alt") == "media" else given

    async def work(store: Any) -> None:
        with pytest.raises(Transient):
            await store.fetch("p/a.csv", tmp_path / "came", bytes_max=1_000)

    using(work, handler)


@pytest.mark.parametrize(
    ("status", "expected", "said"),
    [
        (401, CredentialRejected, "Storage Object Viewer"),
        (403, CredentialRejected, "Storage Object Viewer"),
        (404, StepFailed, "does not exist"),
        (412, Transient, "busy"),
        (429, Transient, "busy"),
        (503, Transient, "busy"),
        (400, StepFailed, "refuses the request"),
    ],
)
def test_each_refusal_says_what_to_do(status: int, expected: type[ConvergenceError], said: str) -> None:
    async def work(store: Any) -> None:
        with pytest.raises(expected, match=said) as caught:
            await store.list("p/", most=10)
        assert type(caught.value) is expected

    using(work, lambda _: Response(status, b'{"error": {"message": "no"}}'))


def test_a_server_that_is_not_there_is_tried_again() -> None:
    async def main() -> None:
        store = open_gcs(PLACE, token, endpoint="http://127.0.0.1:9")
        with pytest.raises(Transient, match="could not be reached"):
            await store.list("p/", most=1)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place(kind="gcs", root="../x"), "is not the name of a bucket"),
        (Place(kind="gcs", root="exports", options={"region": "eu"}), "'region' is not a known option"),
    ],
)
def test_what_is_not_a_bucket_is_refused(place: Place, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        open_gcs(place, token, endpoint="")
