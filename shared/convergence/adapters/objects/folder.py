"""A folder on this machine: what was uploaded for one org, and nothing else."""

from __future__ import annotations

import asyncio
import builtins
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from convergence.errors import StepFailed
from convergence.ports.object_store import StoredObject


class FolderStore:
    """The files below `root`. Links are not followed: they may lead out of it."""

    def __init__(self, root: Path, shown: str) -> None:
        """`shown` is what messages call the folder."""
        self._root, self._shown = root, shown

    async def list(self, prefix: str, *, most: int) -> list[StoredObject]:
        """Return the files; see the port."""
        return await asyncio.to_thread(self._list, prefix, most)

    async def fetch(self, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        """Copy a file; see the port."""
        return await asyncio.to_thread(self._fetch, name, into, bytes_max)

    async def put(self, name: str, content: Path) -> None:
        """Store a file; see `WritableStore`."""
        await asyncio.to_thread(self._put, name, content)

    async def remove(self, name: str) -> None:
        """Remove a file; see `WritableStore`."""
        await asyncio.to_thread(self._inside(name).unlink, missing_ok=True)

    async def close(self) -> None:
        """Nothing is open."""

    def _put(self, name: str, content: Path) -> None:
        path = self._inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            shutil.copyfile(content, part)
            part.replace(path)
        except OSError as error:
            raise StepFailed(f"{name} cannot be written to the folder {self._shown}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)

    def _inside(self, name: str) -> Path:
        path = self._root / name
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise StepFailed(f"{name} is outside of the folder {self._shown}")
        return path

    def _list(self, prefix: str, most: int) -> builtins.list[StoredObject]:
        if not self._root.is_dir():
            raise StepFailed(f"the folder {self._root.absolute()} does not exist: create it and put the files there")
        found: list[StoredObject] = []
        for folder, names, files in os.walk(self._root, followlinks=False):
            names.sort()
            for file in files:
                path = Path(folder, file)
                name = path.relative_to(self._root).as_posix()
                if name.startswith(prefix) and path.is_file() and not path.is_symlink():
                    found.append(_described(path, name))
                    if len(found) > most:
                        raise StepFailed(f"the folder {self._shown} has more than {most:,} files below {prefix!r}")
        return sorted(found, key=lambda each: each.name)

    def _fetch(self, name: str, into: Path, bytes_max: int) -> StoredObject:
        path = self._root / name
        try:
            inside = path.resolve(strict=True).is_relative_to(self._root.resolve(strict=True))
            if not inside or path.is_symlink() or not path.is_file():
                raise StepFailed(f"{name} is not a file of the folder {self._shown}")
            before = _described(path, name)
            with path.open("rb") as source, into.open("wb") as target:
                while piece := source.read(min(1 << 20, bytes_max + 1 - target.tell())):
                    target.write(piece)
                    if target.tell() > bytes_max:
                        raise StepFailed(f"{name} is larger than {bytes_max:,} bytes")
        except FileNotFoundError:
            raise StepFailed(f"{name} does not exist: a part of this delivery is missing") from None
        except OSError as error:
            raise StepFailed(f"{name} cannot be read: {error.strerror}") from error
        if _described(path, name) != before:
            raise StepFailed(f"{name} changed while it was read: wait until it is written, then replay")
        return before


def _described(path: Path, name: str) -> StoredObject:
    facts = path.stat()
    modified = datetime.fromtimestamp(facts.st_mtime, UTC)
    return StoredObject(name, facts.st_size, modified, f"{facts.st_mtime_ns:x}-{facts.st_size:x}")
