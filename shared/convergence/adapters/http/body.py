"""The body of an answer: decompressed piece by piece and never larger than its limit.

A few hundred bytes can be compressed from gigabytes, and a decoder that returns a whole piece at once has used the
memory before it can be counted. So decoding is bounded too: at most `PIECE` bytes at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx

from convergence.adapters.http.errors import as_httpx
from convergence.errors import StepFailed

BYTES_MAX: Final = 64 * 2**20  # unless a call sets another limit
PIECE: Final = 64 * 1024
MEMBERS_MAX: Final = 1_000  # of one gzip body; each costs a new decoder
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_NONE: Final = frozenset({"", "identity"})
_KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})


class BoundedBody(httpx.AsyncByteStream):
    """The decoded body of an answer. Iterating raises `StepFailed` when it has more than `bytes_max`."""

    def __init__(self, raw: httpx.AsyncByteStream, request: httpx.Request, *, compressed: bool, bytes_max: int) -> None:
        self._raw, self._request, self._bytes_max = raw, request, bytes_max
        self._decoder = Decoder() if compressed else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        came = size = 0
        with as_httpx(self._request):
            async for raw in self._raw:
                came += len(raw)
                if came > self._bytes_max:
                    raise self._too_large()
                for piece in (raw,) if self._decoder is None else self._decoder.pieces(raw):
                    size += len(piece)
                    if size > self._bytes_max:
                        raise self._too_large()
                    yield piece
        if came and self._decoder is not None:
            self._decoder.check_end()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._raw.aclose()

    def _too_large(self) -> StepFailed:
        size = f"{self._bytes_max / 2**20:.3g} MiB"
        return StepFailed(f"{self._request.url.host} sends more than {size} in one answer: ask for smaller pages")


class Decoder:
    """Decompresses gzip or zlib, at most `PIECE` bytes at a time. Raises `httpx.DecodingError`."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._members = 1

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to."""
        while True:
            if self._member.eof:
                if not data:
                    return
                self._next_member()
            try:
                piece = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if not data and len(piece) < PIECE:
                return

    def check_end(self) -> None:
        """Raise unless the data ended where its format says."""
        if not self._member.eof:
            raise httpx.DecodingError("the compressed data is truncated")

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise httpx.DecodingError(f"more than {MEMBERS_MAX} compressed parts")
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)


def is_compressed(headers: httpx.Headers, host: str) -> bool:
    """Return whether a body needs decoding. Raises `StepFailed` for an encoding that was not requested, or several."""
    codings = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    applied = [coding for coding in codings if coding not in _NONE]
    if not applied:
        return False
    if len(applied) > 1 or applied[0] not in _KNOWN:
        raise StepFailed(f"{host} encodes its answer as {', '.join(applied)[:100]!r}; only gzip is understood")
    return True
