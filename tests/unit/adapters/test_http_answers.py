"""How large an answer may become: decoding is bounded, and one encoding is all that is undone."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from convergence.adapters.gcp.identity import fetch_from
from convergence.adapters.http.body import MEMBERS_MAX, PIECE, Decoder
from convergence.adapters.http.client import StepClient
from convergence.errors import StepFailed, Transient
from convergence.sandbox.http import HttpServer, Response
from tests.unit.adapters.bombs import MIB, bomb, peak_mib


def asked(response: Response, work: Callable[[httpx.AsyncClient, str], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        server = HttpServer(lambda _: response)
        url = await server.start()
        try:
            async with StepClient() as client:
                return await work(client, url)
        finally:
            await server.stop()

    return asyncio.run(main())


async def content(client: httpx.AsyncClient, url: str) -> bytes:
    return (await client.get(url, extensions={"bytes_max": 4 * MIB})).content


def test_a_bomb_of_300_mib_ends_the_call_before_memory_is_used() -> None:
    small = Response(200, bomb(300), {"content-encoding": "gzip"})

    def call() -> None:
        with pytest.raises(StepFailed, match="sends more than 4 MiB"):
            asked(small, content)

    assert peak_mib(call) < 24


@pytest.mark.parametrize("codings", ["gzip, gzip", "gzip,deflate", "br", "zstd", "compress", "gzip, identity, gzip"])
def test_several_encodings_and_those_that_were_not_asked_for_are_refused_undecoded(codings: str) -> None:
    twice = Response(200, gzip.compress(gzip.compress(b"[]", mtime=0)), {"content-encoding": codings})
    with pytest.raises(StepFailed, match="only gzip is understood"):
        asked(twice, content)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"[1]", mtime=0)),
        ("X-GZIP", gzip.compress(b"[1]", mtime=0)),
        ("identity, gzip", gzip.compress(b"[1]", mtime=0)),
        ("deflate", zlib.compress(b"[1]")),
        ("gzip", gzip.compress(b"[1", mtime=0) + gzip.compress(b"]", mtime=0)),
        ("identity", b"[1]"),
    ],
)
def test_one_encoding_is_undone_whole(coding: str, body: bytes) -> None:
    assert asked(Response(200, body, {"content-encoding": coding}), content) == b"[1]"


@pytest.mark.parametrize(
    "body", [gzip.compress(b"[1]" * 900, mtime=0)[:-9], b"not gzip", gzip.compress(b"1", mtime=0) + b"x"]
)
def test_compressed_data_that_is_cut_or_broken_is_not_an_answer(body: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        asked(Response(200, body, {"content-encoding": "gzip"}), content)


def test_an_uncompressed_answer_has_the_same_limit() -> None:
    with pytest.raises(StepFailed, match="sends more than 4 MiB"):
        asked(Response(200, bytes(5 * MIB)), content)


def test_a_piece_is_small_however_much_is_behind_it() -> None:
    decoder, data = Decoder(), bomb(8)
    pieces = list(decoder.pieces(data))
    decoder.check_end()
    assert sum(map(len, pieces)) == 8 * MIB
    assert max(map(len, pieces)) <= PIECE


def test_the_number_of_compressed_parts_is_bounded() -> None:
    with pytest.raises(httpx.DecodingError, match="parts"):
        list(Decoder().pieces(gzip.compress(b"", mtime=0) * (MEMBERS_MAX + 1)))


@pytest.mark.parametrize(
    "answer", [Response(200, bomb(2), {"content-encoding": "gzip"}), Response(200, b" " * (2 * MIB))]
)
def test_googles_certificates_are_bounded_too(answer: Response) -> None:
    async def fetched(_: httpx.AsyncClient, url: str) -> Any:
        return await fetch_from(url)()

    with pytest.raises(Transient, match="certificates"):
        asked(answer, fetched)
