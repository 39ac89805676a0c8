"""The ports of one instance: they take their time, are counted, and fail for good once it is dead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convergence.errors import Conflict, Transient
from convergence.ports.bus import Message
from convergence.ports.documents import Document, Page, Where, Write
from convergence.ports.processor import Context
from convergence.ports.warehouse import Load, LoadResult, QueryResult, Stage, Statement, TableSchema
from tests.bench.fleet import scenario as assumed
from tests.simulation.memory_warehouse import MemoryWarehouse

if TYPE_CHECKING:
    from convergence.adapters.local.documents.adapter import SqliteDocuments
    from convergence.adapters.local.keyring.adapter import FileKeyring
    from tests.bench.fleet.instances import Instance
    from tests.bench.fleet.night import Night


class CountedDocuments:
    """Firestore as an instance sees it: every document read is counted, absent ones too, as Google counts them."""

    def __init__(self, night: Night, instance: Instance, inner: SqliteDocuments) -> None:
        self._night, self._instance, self._inner = night, instance, inner

    async def get(self, path: str) -> Document | None:
        await self._take(assumed.READ_S)
        self._night.usage.read(1)
        return await self._inner.get(path)

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        await self._take(assumed.READ_S)
        self._night.usage.read(len(paths))
        return await self._inner.get_many(paths)

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        await self._take(assumed.COMMIT_S)
        try:
            versions = await self._inner.commit(writes)
        except Conflict:
            self._night.usage.conflicts += 1
            raise
        self._night.usage.write([write.path for write in writes])
        return versions

    async def query(self, collection: str, **asked: Any) -> Page:
        await self._take(assumed.READ_S)
        page = await self._inner.query(collection, **asked)
        self._night.usage.read(max(1, len(page.documents)))
        return page

    async def count(self, collection: str, *, where: Sequence[Where] = ()) -> int:
        await self._take(assumed.READ_S)
        self._night.usage.read(1)
        return await self._inner.count(collection, where=where)

    async def _take(self, seconds: float) -> None:
        await self._night.clock.sleep(seconds)
        self._instance.check()


class CountedBus:
    """Pub/Sub as an instance sees it."""

    def __init__(self, night: Night, instance: Instance) -> None:
        self._night, self._instance = night, instance

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._night.clock.sleep(assumed.PUBLISH_S)
        self._instance.check()
        self._night.publish(topic, messages)


class CountedKeyring:
    """Cloud KMS as an instance sees it."""

    def __init__(self, night: Night, inner: FileKeyring) -> None:
        self._night, self._inner = night, inner

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        return await self._inner.encrypt(plaintext, aad)

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        self._night.usage.decrypt()
        await self._night.clock.sleep(assumed.DECRYPT_S)
        return await self._inner.decrypt(ciphertext, aad)

    def version(self, ciphertext: str) -> str:
        return self._inner.version(ciphertext)

    async def stale(self, ciphertext: str) -> bool:
        return await self._inner.stale(ciphertext)


class SlowWarehouse(MemoryWarehouse):
    """BigQuery: a load is a load job and the script that merges it, a statement a query job; a job outlives its caller.

    Jobs that took effect are remembered as MemoryWarehouse does: what is sent again answers at once.
    """

    def __init__(self, night: Night) -> None:
        super().__init__()
        self._night = night

    async def load(self, load: Load, *stages: Stage) -> LoadResult:
        if load.job_id not in self.jobs:
            self._night.usage.insert(2, loads=1)
            with self._night.usage.request():
                await self._night.clock.sleep(self._night.seconds_of(load.table.name))
        return await super().load(load, *stages)

    async def query(self, statement: Statement) -> QueryResult:
        if statement.job_id not in self.jobs:
            self._night.usage.insert(1)
            with self._night.usage.request():
                await self._night.clock.sleep(self._night.seconds_of(statement.sql))
        return await super().query(statement)


class AnyTable:
    """A schema for every table name."""

    paths: Mapping[str, Any] = {}

    def get(self, name: str) -> TableSchema:
        return TableSchema(name, ())


class NightProcessor:
    """Does what its step's config says: ask the provider, load, or query."""

    def __init__(self, night: Night) -> None:
        self._night = night

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        config = step_config["config"]
        table = f"t{config['step']}"
        match config["kind"]:
            case "provider":
                await context.secrets.open("fleet")
                if self._night.provider_is_away():
                    await context.sleep(assumed.OUTAGE_TRY_S)
                    raise Transient("the provider is away")
                await context.sleep(config["seconds"])
            case "load":
                stage = context.warehouse.stage(table)
                await stage.write(0, [{"n": 1}])
                await context.warehouse.load(stage, dates=[context.start_date])
            case _:
                await context.warehouse.query(table, {}, write=True)
        return {"status": "SUCCESS", "rows_processed": 1, "rows_written": 1}
