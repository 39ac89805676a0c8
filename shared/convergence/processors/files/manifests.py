"""Manifests of exports: the run that wrote them, and its files.

AWS Data Exports: `metadata/BILLING_PERIOD=YYYY-MM/{export}-Manifest.json`
(https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html). AWS Cost and Usage Reports before
them: `{report}/YYYYMMDD-YYYYMMDD/{report}-Manifest.json`
(https://docs.aws.amazon.com/cur/latest/userguide/view-cur.html). Azure exports: a `manifest.json` beside the parts of
each run (https://learn.microsoft.com/azure/cost-management-billing/costs/tutorial-improved-exports).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from convergence.errors import StepFailed
from convergence.ports.object_store import StoredObject

PARTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a manifest: the run, its time, its files with sizes and rows (-1: not given)."""

    id: str
    at: datetime
    names: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """How manifests are found: by name and period, `below` this folder of the period. `newest`: how many of the last
    ones are read to find the newest run."""

    is_manifest: Callable[[str, date], bool]
    below: Callable[[date], str]
    newest: int = 1


def _aws_export(name: str, day: date) -> bool:
    return f"BILLING_PERIOD={day:%Y-%m}/" in name and "/metadata/" in f"/{name}" and name.endswith("-Manifest.json")


def _aws_cur(name: str, day: date) -> bool:
    """The manifest beside the folders of the single runs is that of the newest run."""
    folder, _, file = name.rpartition("/")
    period = folder.rpartition("/")[2]
    return re.fullmatch(rf"{day:%Y%m}01-\d{{8}}", period) is not None and file.endswith("-Manifest.json")


def _azure_export(name: str, day: date) -> bool:
    return name.rpartition("/")[2] == "manifest.json" and f"/{day:%Y%m}01-" in f"/{name}"


MANIFESTS: Final[Mapping[str, Rule]] = {
    "aws_export": Rule(_aws_export, lambda day: f"metadata/BILLING_PERIOD={day:%Y-%m}/"),
    "aws_cur": Rule(_aws_cur, lambda day: f"{day:%Y%m}01-"),
    "azure_export": Rule(_azure_export, lambda day: f"{day:%Y%m}01-", newest=5),
}


def read_manifest(kind: str, data: bytes, file: StoredObject, bucket: str) -> Manifest:
    """Return what a manifest says.

    Raises `StepFailed` for one that is not JSON, names no file, or one file twice.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StepFailed(f"{file.name}: this is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StepFailed(f"{file.name}: this is not a manifest")
    read = _azure if kind == "azure_export" else _aws
    manifest = read(found, file, hashlib.blake2b(data, digest_size=16).hexdigest(), bucket)
    _check(manifest, file.name)
    return manifest


def _aws(found: Mapping[str, Any], file: StoredObject, digest: str, bucket: str) -> Manifest:
    names = found.get("dataFiles") or found.get("reportKeys")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StepFailed(
            f"{file.name}: neither dataFiles nor reportKeys lists files; it has {', '.join(sorted(found))[:200]}"
        )
    run = found.get("executionId") or found.get("assemblyId") or digest
    return Manifest(str(run), file.modified, tuple(_key(name, bucket, file.name) for name in names))


def _key(name: str, bucket: str, manifest: str) -> str:
    """Return the key of `s3://bucket/key`, or of a plain key."""
    if not name.startswith("s3://"):
        return name.lstrip("/")
    found, _, key = name.removeprefix("s3://").partition("/")
    if found != bucket:
        raise StepFailed(f"{manifest}: the file {name[:200]} is not in the bucket of the manifest")
    return key


def _azure(found: Mapping[str, Any], file: StoredObject, digest: str, _: str) -> Manifest:
    blobs = found.get("blobs")
    if not isinstance(blobs, list) or not all(isinstance(each, dict) and each.get("blobName") for each in blobs):
        raise StepFailed(f"{file.name}: there is no list `blobs` of files with a blobName")
    run = found.get("runInfo") if isinstance(found.get("runInfo"), dict) else {}
    assert isinstance(run, dict), "checked above"
    return Manifest(
        str(run.get("runId") or digest),
        _moment(run.get("submittedTime"), file),
        tuple(str(each["blobName"]) for each in blobs),
        tuple(_count(each, "byteCount", file.name) for each in blobs),
        tuple(_count(each, "dataRowCount", file.name) for each in blobs),
    )


def _moment(text: Any, file: StoredObject) -> datetime:
    """Return when the run was submitted; fractions of a second may have seven digits."""
    if not isinstance(text, str):
        return file.modified
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return file.modified
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _count(blob: Mapping[str, Any], name: str, manifest: str) -> int:
    value = blob.get(name, -1)
    if isinstance(value, bool) or not isinstance(value, int):
        raise StepFailed(f"{manifest}: {name} of {blob['blobName']} is not a whole number")
    return value


def _check(manifest: Manifest, name: str) -> None:
    if not manifest.names:
        raise StepFailed(f"{name}: it lists no file: the export has not written anything yet")
    if len(manifest.names) > PARTS_MAX:
        raise StepFailed(f"{name}: it lists {len(manifest.names):,} files, more than {PARTS_MAX:,}")
    twice = _repeated(manifest.names)
    if twice is not None:
        raise StepFailed(f"{name}: it lists {twice[:200]} twice, which would count its rows twice")


def _repeated(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
