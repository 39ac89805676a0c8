"""Listeners of the Firestore test server: documents by name, and queries."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore

from tests.emulators import firestore_query
from tests.emulators.firestore_store import Store, micros, set_micros
from tests.emulators.serving import Server

Response: Final = firestore.ListenResponse.pb()
_Type = firestore.TargetChange.TargetChangeType
_LOOK_S: Final = 0.1  # how often a quiet stream looks whether its client is still there
Snapshot = dict[str, Any]


class Listening:
    """One stream of one client with its targets."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._targets: dict[int, tuple[Callable[[], Snapshot], Snapshot]] = {}
        self._asked: queue.Queue[Any] = queue.Queue()

    def answers(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        """Yield what changes until the client goes."""
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        self._store.listeners.append(self._asked.put)
        try:
            while context.is_active():
                try:
                    asked = self._asked.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
                if asked is None:
                    return
                yield from self._changed() if isinstance(asked, set) else self._targeted(asked)
        finally:
            self._store.listeners.remove(self._asked.put)

    def _read(self, requests: Iterator[Any]) -> None:
        try:
            for request in requests:
                self._asked.put(request)
        except Exception:  # the client went away: gRPC says it with an error of its own
            pass
        self._asked.put(None)

    def _targeted(self, request: Any) -> Iterator[Any]:
        if request.WhichOneof("target_change") == "remove_target":
            self._targets.pop(request.remove_target, None)
            yield _change(_Type.REMOVE, [request.remove_target])
            return
        target = request.add_target
        number = target.target_id or 1
        look = self._look(target)
        yield _change(_Type.ADD, [number])
        self._targets[number] = (look, {})
        yield from self._differences(number)
        yield self._moment(_change(_Type.CURRENT, [number]))
        yield self._moment(_change(_Type.NO_CHANGE, []))

    def _look(self, target: Any) -> Callable[[], Snapshot]:
        if target.WhichOneof("target_type") == "documents":
            names = list(target.documents.documents)
            return lambda: {name: self._store.documents[name] for name in names if name in self._store.documents}
        parent, query = target.query.parent, target.query.structured_query
        return lambda: {found.name: found for found in firestore_query.run(self._store, parent, query)[0]}

    def _changed(self) -> Iterator[Any]:
        for number in list(self._targets):
            yield from self._differences(number)
        yield self._moment(_change(_Type.NO_CHANGE, []))

    def _differences(self, number: int) -> Iterator[Any]:
        look, before = self._targets[number]
        with self._store.lock:
            after = look()
        self._targets[number] = (look, after)
        for name, document in after.items():
            if name not in before or micros(before[name].update_time) != micros(document.update_time):
                response = Response()
                response.document_change.document.CopyFrom(document)
                response.document_change.target_ids.append(number)
                yield response
        for name in before.keys() - after.keys():
            response = Response()
            removed = response.document_remove if name in self._store.documents else response.document_delete
            removed.document = name
            removed.removed_target_ids.append(number)
            yield response

    def _moment(self, response: Any) -> Any:
        set_micros(response.target_change.read_time, self._store.now())
        response.target_change.resume_token = b"now"
        return response


def _change(kind: int, numbers: list[int]) -> Any:
    response = Response()
    response.target_change.target_change_type = kind
    response.target_change.target_ids.extend(numbers)
    response.target_change.SetInParent()
    return response


def listen(server: Server, store: Store) -> Callable[[Iterator[Any], Any], Iterator[Any]]:
    """Return the handler of `Listen`."""

    def handle(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        yield from Listening(store).answers(requests, context)

    return handle
