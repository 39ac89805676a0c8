"""Which files belong together: what a manifest lists, or all that are there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Final

from convergence.errors import StepFailed
from convergence.ports.object_store import ObjectStore, StoredObject
from convergence.processors.files.manifests import MANIFESTS, Manifest, read_manifest
from convergence.processors.files.settings import FileSettings, Source

MANIFEST_MAX: Final = 16 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """Files that are loaded together or not at all. `id` names the run that wrote them, `at` is when it did.

    `sizes` and `rows` are what the manifest records for each file; -1 where it records nothing.
    """

    id: str
    at: datetime | None  # None: known once the files are here
    names: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A digest of its id and its list of files."""
        listing = zip_longest(self.names, self.sizes, self.rows)
        return hashlib.blake2b(repr((self.id, *listing)).encode(), digest_size=16).hexdigest()


async def find_delivery(source: Source, options: FileSettings, store: ObjectStore, day: date, spool: Path) -> Delivery:
    """Return the newest delivery of the period that begins on `day`.

    Raises `StepFailed` when there is none, or a manifest does not list its files.
    """
    if source.kind == "https":
        return Delivery("", None, source.urls_of(day))
    rule = MANIFESTS.get(options.delivery)
    prefix = day.strftime(source.path) + (rule.below(day) if rule is not None else "")
    if rule is None:
        return _of_listing(await _listed(source, options, store, day), prefix, options)
    listed = await store.list(prefix, most=options.files_max)
    manifests = [each for each in listed if rule.is_manifest(each.name, day)]
    if not manifests:
        raise StepFailed(f"there is no manifest of {day:%Y-%m} below {prefix!r} among {len(listed)} files")
    found: list[Manifest] = []
    for each in sorted(manifests, key=lambda each: each.modified)[-rule.newest :]:
        path = spool / "manifest"
        await store.fetch(each.name, path, bytes_max=MANIFEST_MAX)
        found.append(read_manifest(options.delivery, path.read_bytes(), each, source.bucket))
    newest = max(found, key=lambda each: each.at)
    return Delivery(newest.id, newest.at, newest.names, newest.sizes, newest.rows)


async def _listed(source: Source, options: FileSettings, store: ObjectStore, day: date) -> list[StoredObject]:
    """Return the files of the period, in whichever of its folders; with `late_days` of some days more."""
    days = [day]
    if options.late_days:
        count = (options.last_day(day) - day).days + 1 + options.late_days
        days = [day + timedelta(days=number) for number in range(count)]
    found: dict[str, StoredObject] = {}
    for prefix in sorted({each.strftime(source.path) for each in days}):
        for each in await store.list(prefix, most=options.files_max):
            if fnmatchcase(_below(each.name, prefix), options.pattern):
                found[each.name] = each
    if options.late_days and not {"%d", "%m"} & {source.path[at : at + 2] for at in range(len(source.path))}:
        return [each for each in found.values() if days[0] <= each.modified.date() <= days[-1]]
    return list(found.values())


def _of_listing(files: Sequence[StoredObject], prefix: str, options: FileSettings) -> Delivery:
    if not files and options.no_files == "empty":
        return Delivery("", None, ())
    if not files:
        raise StepFailed(f"there is no file below {prefix!r} that matches config.pattern; nothing was changed")
    digest = hashlib.blake2b(digest_size=16)
    for each in files:
        digest.update(f"{each.name}\0{each.size}\0{each.tag}\0".encode())
    names, sizes = tuple(each.name for each in files), tuple(each.size for each in files)
    return Delivery(digest.hexdigest(), max(each.modified for each in files), names, sizes)


def _below(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lstrip("/")
