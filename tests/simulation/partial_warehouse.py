"""A warehouse for doubles that implement a part of the port: the rest fails aloud."""

from __future__ import annotations

from typing import Any


class PartialWarehouse:
    """Every method of `Warehouse`, each refusing; a double overrides what its steps use."""

    async def ensure_dataset(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def ensure_table(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def columns(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def column_names(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    def stage(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def load(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def append(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def query(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def call(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def close_job(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def sync_routines(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def list_routines(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def get_routine(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def delete_routine(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def migrate(self, *given: Any, **options: Any) -> Any:
        raise NotImplementedError
