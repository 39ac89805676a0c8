"""Places of files inside one execution: opened on request, closed at its end."""

from __future__ import annotations

from convergence.ports.object_store import ObjectStore, ObjectStores, Place


class StepObjects:
    """The `ObjectStores` of a step; what it opened is closed with it."""

    def __init__(self, stores: ObjectStores) -> None:
        self._stores = stores
        self._open: list[ObjectStore] = []

    async def open(self, place: Place, secret: str = "") -> ObjectStore:
        """Return the store; see the port."""
        store = await self._stores.open(place, secret)
        self._open.append(store)
        return store

    async def close(self) -> None:
        """Close what was opened."""
        while self._open:
            await self._open.pop().close()
