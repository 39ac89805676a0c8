"""The documents of the Firestore test server: atomic commits, preconditions, optimistic transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

import grpc
from google.cloud.firestore_v1.types import document as documents

from tests.emulators.firestore_transforms import transformed
from tests.emulators.firestore_values import assign, check, invalid, key, lookup
from tests.emulators.serving import Refused

DocumentMessage: Final = documents.Document.pb()
Reads = dict[str, int]  # name → version (0: absent)


def micros(stamp: Any) -> int:
    """Return a Timestamp in microseconds since 1970."""
    return int(stamp.seconds) * 1_000_000 + int(stamp.nanos) // 1000


def set_micros(stamp: Any, at: int) -> None:
    """Set a Timestamp to microseconds since 1970."""
    stamp.seconds, stamp.nanos = at // 1_000_000, at % 1_000_000 * 1000


class Store:
    """Documents by name. A stored message is never changed, so readers may keep it. `lock` guards all."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.documents: dict[str, Any] = {}
        self.collections: dict[str, dict[str, Any]] = {}  # parent/collection → its documents
        self._equal: dict[tuple[str, str], dict[Any, dict[str, Any]]] = {}  # (collection, field) → value → documents
        self.listeners: list[Callable[[set[str]], None]] = []
        self._transactions: dict[bytes, Reads] = {}
        self._ids = count(1)
        self._last = 0

    def now(self) -> int:
        """Return a moment in microseconds, later than every one before."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return self._last

    def version(self, name: str) -> int:
        """Return when a document was written last; 0 when it is absent."""
        stored = self.documents.get(name)
        return 0 if stored is None else micros(stored.update_time)

    def begin(self) -> bytes:
        """Open a transaction."""
        transaction = f"transaction-{next(self._ids)}".encode()
        self._transactions[transaction] = {}
        return transaction

    def rollback(self, transaction: bytes) -> None:
        """Forget a transaction."""
        self._transactions.pop(transaction, None)

    def note(self, transaction: bytes, names: Iterable[str]) -> None:
        """Remember at which version a transaction read."""
        if transaction:
            if transaction not in self._transactions:
                raise invalid("The referenced transaction has expired or is no longer valid.")
            for name in names:
                self._transactions[transaction].setdefault(name, self.version(name))

    def commit(self, writes: Iterable[Any], transaction: bytes = b"") -> tuple[int, list[tuple[int, list[Any]]]]:
        """Apply all writes or none; return the commit's moment, and of each write the update time and its transforms.

        The update time of a write that changed nothing is the previous one (reference: WriteResult.update_time).
        """
        with self.lock:
            if transaction:
                if transaction not in self._transactions:
                    raise invalid("The referenced transaction has expired or is no longer valid.")
                for name, version in self._transactions.pop(transaction).items():
                    if self.version(name) != version:
                        raise Refused(
                            grpc.StatusCode.ABORTED, "Too much contention on these documents. Please try again."
                        )
            at, staged = self.now(), dict[str, Any]()
            results = [self._stage(write, at, staged) for write in writes]
            for name, made in staged.items():
                self._put(name, made)
        for listener in list(self.listeners):
            listener(set(staged))
        return at, results

    def _stage(self, write: Any, at: int, staged: dict[str, Any]) -> tuple[int, list[Any]]:
        kind = write.WhichOneof("operation")
        name = {"delete": write.delete, "transform": write.transform.document}.get(kind or "", write.update.name)
        old = staged[name] if name in staged else self.documents.get(name)
        _check_precondition(name, write, old)
        if kind == "delete":
            staged[name] = None
            return 0, []
        new = DocumentMessage()
        if old is not None and (kind == "transform" or write.HasField("update_mask")):
            new.CopyFrom(old)
        if kind == "update" and not write.HasField("update_mask"):
            new.CopyFrom(write.update)
        for path in write.update_mask.field_paths:
            assign(new, path, lookup(write.update, path))
        transforms = [*write.update_transforms, *write.transform.field_transforms]
        outcomes = [transformed(new, transform, at) for transform in transforms]
        new.name = name
        check(new)
        if old is not None and new.fields == old.fields:
            return micros(old.update_time), outcomes
        set_micros(new.create_time, at if old is None else micros(old.create_time))
        set_micros(new.update_time, at)
        staged[name] = new
        return at, outcomes

    def with_value(self, collection: str, path: str, wanted: Any) -> dict[str, Any]:
        """Return the documents of a collection with this value in a field; found at once from the second time on."""
        index = self._equal.get((collection, path))
        if index is None:
            index = self._equal[collection, path] = {}
            for name, document in self.collections.get(collection, {}).items():
                _file(index, path, name, document)
        return index.get(key(wanted), {})

    def _put(self, name: str, document: Any | None) -> None:
        collection = name.rpartition("/")[0]
        for (each, path), index in self._equal.items():
            if each == collection:
                old = self.documents.get(name)
                value = None if old is None else lookup(old, path)
                if value is not None:
                    index[key(value)].pop(name)
                if document is not None:
                    _file(index, path, name, document)
        if document is None:
            self.documents.pop(name, None)
            self.collections.get(collection, {}).pop(name, None)
        else:
            self.documents[name] = document
            self.collections.setdefault(collection, {})[name] = document


def _file(index: dict[Any, dict[str, Any]], path: str, name: str, document: Any) -> None:
    value = lookup(document, path)
    if value is not None:
        index.setdefault(key(value), {})[name] = document


def _check_precondition(name: str, write: Any, old: Any | None) -> None:
    asked = write.current_document.WhichOneof("condition_type")
    if asked == "exists" and write.current_document.exists and old is None:
        raise Refused(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
    if asked == "exists" and not write.current_document.exists and old is not None:
        raise Refused(grpc.StatusCode.ALREADY_EXISTS, f"Document already exists: {name}")
    if asked == "update_time":
        if old is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
        expected, stored = micros(write.current_document.update_time), micros(old.update_time)
        if expected != stored:
            message = f"the stored version ({stored}) does not match the required base version ({expected})"
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, message)
