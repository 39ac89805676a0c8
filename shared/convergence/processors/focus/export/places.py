"""Where exports go: a folder, or a bucket named by its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from convergence.errors import InvalidInput
from convergence.ports.object_store import Place, WritableStore

FILES_MAX: Final = 1_000  # in the folder of a period: at most four, and what interrupted exports have left
# Scheme → kind of place, and the provider whose credential opens it by default.
BUCKETS: Final = {"s3": ("s3", "aws"), "gs": ("gcs", "gcp"), "azure": ("azure", "azure")}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place, the folder in it, and the provider whose credential opens it when nothing else is named."""

    place: Place
    folder: str
    provider: str


def bucket_of(url: str) -> Bucket:
    """Return the place of an address: s3://bucket/folder, gs://bucket/folder, azure://account/container/folder.

    Options of the place follow a question mark, as in `?region=eu-central-1`. Raises `InvalidInput` for anything else.
    """
    parts = urlsplit(url)
    if parts.scheme not in BUCKETS or not parts.netloc:
        raise InvalidInput(
            f"{url[:200]!r} is not an address of a bucket: s3://bucket/folder, gs://bucket/folder or"
            " azure://account/container/folder"
        )
    kind, provider = BUCKETS[parts.scheme]
    options, root, folder = dict(parse_qsl(parts.query)), parts.netloc, unquote(parts.path).strip("/")
    if kind == "azure":
        options, (root, _, folder) = {"account": root, **options}, folder.partition("/")
    return Bucket(Place(kind=kind, root=root, options=options), folder, provider)


class Below:
    """A folder of a store, as a `Delivery`."""

    def __init__(self, store: WritableStore, folder: str) -> None:
        self._store, self._folder = store, folder

    async def names(self, folder: str) -> Sequence[str]:
        """Return the names of the files in a folder."""
        prefix = self._of(f"{folder}/")
        found = (each.name.removeprefix(prefix) for each in await self._store.list(prefix, most=FILES_MAX))
        return [name for name in found if "/" not in name]

    async def put(self, name: str, content: Path) -> None:
        """Store a file, in the place of one of the same name."""
        await self._store.put(self._of(name), content)

    async def remove(self, name: str) -> None:
        """Remove a file."""
        await self._store.remove(self._of(name))

    def _of(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name
