"""A container of Azure in memory: List Blobs, Get, Put and Delete Blob, as the real client asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote
from xml.sax.saxutils import escape

from convergence.sandbox.http import Request, Response

WHEN: Final = "Mon, 12 Jan 2026 10:00:00 GMT"


class BlobServer:
    """`blobs` are name → content; `requests` those that came."""

    def __init__(self, container: str, blobs: Mapping[str, bytes]) -> None:
        self.container, self.blobs = container, dict(blobs)
        self.requests: list[Request] = []

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        self.requests.append(request)
        _, _, container, *rest = unquote(request.path).split("/", 3)
        asked = dict(request.query)
        if container != self.container:
            return Response(404, b"", {"x-ms-error-code": "ContainerNotFound"})
        return self._blob(rest[0], request) if rest else self._list(asked.get("prefix", ""))

    def _list(self, prefix: str) -> Response:
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{WHEN}</Last-Modified><Etag>{_tag(data)}</Etag>"
            f"<Content-Length>{len(data)}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            for name, data in sorted(self.blobs.items())
            if name.startswith(prefix)
        )
        head = "<?xml version='1.0' encoding='utf-8'?>"
        text = f"{head}<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        return Response(200, text.encode(), content_type="application/xml")

    def _blob(self, name: str, request: Request) -> Response:
        if request.method == "PUT":
            self.blobs[name] = request.body
            return Response(201, b"", {"last-modified": WHEN, "etag": _tag(request.body)})
        data = self.blobs.pop(name, None) if request.method == "DELETE" else self.blobs.get(name)
        if data is not None and request.method == "DELETE":
            return Response(202, b"")
        if data is None:
            return Response(404, b"", {"x-ms-error-code": "BlobNotFound"})
        facts = {"last-modified": WHEN, "etag": _tag(data), "x-ms-blob-type": "BlockBlob"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("x-ms-range", ""))
        if asked is None:
            return Response(200, data, facts)
        first = int(asked[1])
        if first >= len(data):
            return Response(416, b"", {"x-ms-error-code": "InvalidRange"})
        piece = data[first : int(asked[2] or len(data)) + 1]
        where = {"content-range": f"bytes {first}-{first + len(piece) - 1}/{len(data)}"}
        return Response(206, piece, {**facts, **where})


def _tag(data: bytes) -> str:
    return f'"{hash(data) & 0xFFFFFFFF:x}"'
