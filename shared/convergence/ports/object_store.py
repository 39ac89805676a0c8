"""Places where files are delivered: a folder, an address, a bucket. One store serves one execution of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where files are: `kind` (folder, https, s3, azure, gcs, oci) and what is needed to find them there.

    `root`: a folder of the org, a bucket, a container. `options`: further properties, such as a region or a role.
    """

    kind: str
    root: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file at its place. `size` in bytes, -1 where it is not known; `tag` changes with its content."""

    name: str
    size: int
    modified: datetime
    tag: str


class ObjectStore(Protocol):
    """The files of one place.

    Every method raises `CredentialRejected` when the key may not do this, `StepFailed` when the place or a file is
    missing or a bound is passed, `Transient` when the place cannot be reached or is busy.
    """

    async def list(self, prefix: str, *, most: int) -> list[StoredObject]:
        """Return the files whose names begin with `prefix`, by name; more than `most` are refused."""
        ...

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Write a file's bytes to `into`, at most `bytes_max`; return what came. A cut transfer is an error."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@runtime_checkable
class WritableStore(ObjectStore, Protocol):
    """A place that also accepts files. A reader sees a file as it was before or as it is after, never a part of it.

    Its methods raise what those of `ObjectStore` raise.
    """

    async def put(self, name: str, content: Path) -> None:
        """Store a copy of `content`, in the place of a file of the same name; folders are made."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file; one that does not exist is fine."""
        ...


class ObjectStores(Protocol):
    """Opens places."""

    async def open(self, place: Place, secret: str = "") -> ObjectStore:
        """Return the store; `secret` is what opens it, empty where nothing is needed.

        Raises `StepFailed` for a kind that is not installed here, a place outside of what the org may read, or a secret
        that is not of the kind's form.
        """
        ...
