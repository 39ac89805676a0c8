"""Translate the port's writes to Firestore's, and find the outcome of a commit whose answer was lost.

Each document carries the mark of the commit that wrote it last. A commit that is tried again after its answer was lost
meets its own documents and would look like a conflict; the mark says whose they are. It also lets every write change
its document: Firestore keeps the update time of a write that changes nothing (reference: WriteResult).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from google.cloud.firestore_v1.types import write as messages

from convergence.adapters.gcp.documents.shards import shard_of
from convergence.adapters.gcp.documents.values import MARK, SHARD, fill, name_of, path_of, put
from convergence.errors import InvalidInput
from convergence.ports.documents import Delete, Patch, Replace, Write

_Message: Final = messages.Write.pb()


def encoded(write: Write, *, root: str, mark: str, sharded: Collection[str]) -> Any:
    """Return a write as a protobuf message.

    Args:
        write: What to write.
        root: The prefix of document names: `projects/p/databases/d/documents`.
        mark: Names this commit, never used before.
        sharded: The collection names whose documents say their shard.

    Raises:
        InvalidInput: the data is not JSON, such as half of a Unicode character.
    """
    message = _Message()
    name = f"{root}/{write.path}"
    if isinstance(write, Delete):
        message.delete = name
        if write.version is not None:
            set_version(message.current_document.update_time, write.version)
        return message
    message.update.name = name
    fields = message.update.fields
    try:
        if isinstance(write, Patch):
            _patch(message, write)
        else:
            fill(fields, write.data)
            if write.path.rpartition("/")[0].rpartition("/")[2] in sharded:
                fields[SHARD].integer_value = shard_of(write.path)
        fields[MARK].string_value = mark
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{write.path} cannot be stored: {error}") from error
    if isinstance(write, Replace):
        set_version(message.current_document.update_time, write.version)
    else:
        message.current_document.exists = isinstance(write, Patch)
    return message


def _patch(message: Any, patch: Patch) -> None:
    for field, item in patch.set.items():
        fields = message.update.fields
        *parents, last = (name_of(key) for key in field)
        for parent in parents:
            fields = fields[parent].map_value.fields
        put(fields[last], item, len(field))
    paths = [path_of(*field) for field in (*patch.set, *patch.unset)]
    message.update_mask.field_paths.extend([*dict.fromkeys(paths), MARK])


def set_version(stamp: Any, version: int) -> None:
    """Set a protobuf Timestamp to a version, microseconds since 1970."""
    stamp.seconds, stamp.nanos = version // 1_000_000, version % 1_000_000 * 1000


def version_of(stamp: Any) -> int:
    """Return a protobuf Timestamp as a version."""
    return int(stamp.seconds) * 1_000_000 + int(stamp.nanos) // 1000


def shown(writes: Sequence[Write]) -> str:
    """Name the documents of a commit, the first three."""
    return ", ".join(write.path for write in writes[:3]) + (", …" if len(writes) > 3 else "")


def applied(writes: Sequence[Write], mark: str, stored: Mapping[str, Any]) -> list[int] | bool | None:
    """Return the outcome of a commit whose answer was lost: its versions, False, or None for "unknown".

    One document with our mark proves that all was applied, at its update time. A document that still has the version
    which a Replace asked for proves that nothing was. Where others wrote since, the outcome is unknown.
    """
    for document in stored.values():
        if document is not None and document.fields[MARK].string_value == mark:
            version = version_of(document.update_time)
            return [0 if isinstance(write, Delete) else version for write in writes]
    for write in writes:
        document = stored.get(write.path)
        if isinstance(write, Replace) and document is not None and version_of(document.update_time) == write.version:
            return False
    return None
