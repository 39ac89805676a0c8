"""The ports of one simulated process, in a hostile world."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from convergence.errors import LeaseLost, Transient
from convergence.ports.bus import Message
from convergence.ports.documents import Document, Order, Page, Where, Write
from convergence.ports.keyring import Keyring
from tests.simulation.partial_warehouse import PartialWarehouse

if TYPE_CHECKING:
    from convergence.engine.services import Services
    from tests.simulation.world import World


MAX_SKEW_S = 3.0


class Killed(BaseException):
    """The process is dead: this line of execution ends here, whatever it was doing."""


@dataclass(frozen=True)
class Odds:
    """Chances per port call, message or client, and the longest delays in seconds."""

    kill: float = 0.01
    freeze: float = 0.003
    freeze_max_s: float = 400.0
    slow: float = 0.0  # one call, while the process goes on with its other work
    slow_max_s: float = 150.0
    clock_skew_s: float = 0.0  # of each machine, ahead or behind
    unavailable: float = 0.01
    answer_lost: float = 0.02
    query_lost: float = 0.0  # the answer of the store to a query or a count
    publish_refused: float = 0.0
    publish_unanswered: float = 0.0  # the messages are out, the caller gets an error
    warehouse_refused: float = 0.0
    warehouse_unanswered: float = 0.0  # it took effect, the caller gets an error
    keyring_refused: float = 0.0
    message_lost: float = 0.05
    message_doubled: float = 0.15
    message_delay_max_s: float = 20.0
    message_late: float = 0.05
    message_late_max_s: float = 900.0
    write_late: float = 0.3  # of a process that dies as it sends: the request arrives all the same
    write_late_max_s: float = 900.0
    cancelled: float = 0.15
    cancelled_after_max_s: float = 900.0
    comes_back: float = 0.5  # who cancelled, and replays
    by_message: float = 0.0  # clients that ask through the bus
    twin: float = 0.0  # worlds in which another client uses the first one's idempotency key
    key_changed: float = 0.0  # orgs whose stored key is replaced or removed every few minutes
    suspended: float = 0.0  # orgs that may not run anything for a while
    deployed: float = 0.0  # worlds that get other pipelines and files, machine after machine


CALM = Odds(
    kill=0, freeze=0, unavailable=0, answer_lost=0, message_lost=0, message_doubled=0, message_delay_max_s=0.01,
    message_late=0, write_late=0,
)  # fmt: skip


EVERY_FAULT = Odds(
    query_lost=0.02, publish_refused=0.01, publish_unanswered=0.01, warehouse_refused=0.005,
    warehouse_unanswered=0.005, keyring_refused=0.01, slow=0.002, clock_skew_s=MAX_SKEW_S, by_message=0.25, twin=0.3,
    key_changed=0.5, suspended=0.4, deployed=0.5,
)  # fmt: skip

# Worlds with few faults show what many at once hide: each of these is left out of a third of the worlds.
OPTIONAL = (
    "kill", "freeze", "unavailable", "answer_lost", "query_lost", "publish_refused", "publish_unanswered",
    "warehouse_refused", "warehouse_unanswered", "keyring_refused", "message_lost", "message_doubled", "message_late",
    "cancelled", "slow", "clock_skew_s", "by_message", "twin", "key_changed", "suspended", "deployed",
)  # fmt: skip


def swarm(rng: Random) -> Odds:
    """Return the faults of one world."""
    return replace(EVERY_FAULT, **{name: 0.0 for name in OPTIONAL if rng.random() < 1 / 3})


class Process:
    """One machine. It dies or freezes at port calls; everything between two port calls is atomic."""

    services: Services  # set at its boot: a process and its services know each other

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.born_s = world.loop.now_s
        self.frozen_until_s = 0.0
        skew_s = world.odds.clock_skew_s
        self.clock = world.clock if not skew_s else world.clock.skewed(world.rng.uniform(-skew_s, skew_s))
        self.edition = world.edition  # of the pipelines and files that were installed with it

    async def point(self) -> None:
        """Come by here before and after every port call."""
        world, rng, odds = self.world, self.world.rng, self.world.odds
        if self.dead:
            raise Killed
        if odds.kill and rng.random() < odds.kill and not world.spares(self):
            world.kill(self)
            raise Killed
        if odds.freeze and rng.random() < odds.freeze and not world.spares(self):
            self.frozen_until_s = max(self.frozen_until_s, world.loop.now_s + rng.uniform(1, odds.freeze_max_s))
        while self.frozen_until_s > world.loop.now_s:
            await world.clock.sleep(self.frozen_until_s - world.loop.now_s)
            if self.dead:
                raise Killed
        if odds.slow and rng.random() < odds.slow and not world.spares(self):
            await world.clock.sleep(rng.uniform(1, odds.slow_max_s))
            if self.dead:
                raise Killed

    def refuse(self, odds: float, reason: str) -> None:
        """Raise `Transient` by chance."""
        if odds and self.world.rng.random() < odds and not self.world.spares(self):
            raise Transient(reason)


class FaultyDocuments:
    """The store as a process sees it: sometimes away, sometimes silent after it did what was asked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._inner = process.world.documents

    async def get(self, path: str) -> Document | None:
        await self._before()
        document = await self._inner.get(path)
        await self._process.point()
        return document

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        await self._before()
        documents = await self._inner.get_many(paths)
        await self._process.point()
        return documents

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        await self._before()
        world = self._process.world
        versions = await world.observed_commit(writes)
        self._process.refuse(world.odds.answer_lost, "the answer to a commit was lost")
        await self._process.point()
        return versions

    async def query(
        self,
        collection: str,
        *,
        where: Sequence[Where] = (),
        order: Sequence[Order] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        await self._before()
        page = await self._inner.query(collection, where=where, order=order, limit=limit, cursor=cursor)
        await self._answered()
        return page

    async def count(self, collection: str, *, where: Sequence[Where] = ()) -> int:
        await self._before()
        number = await self._inner.count(collection, where=where)
        await self._answered()
        return number

    async def _answered(self) -> None:
        await self._process.point()
        self._process.refuse(self._process.world.odds.query_lost, "the answer to a query was lost")

    async def _before(self) -> None:
        await self._process.point()
        self._process.refuse(self._process.world.odds.unavailable, "the store is away")


class FaultyBus:
    """Publishing into the world's broker."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        process, odds = self._process, self._process.world.odds
        await process.point()
        process.refuse(odds.publish_refused, "the bus is away")
        process.world.broker.accept(topic, messages)
        process.refuse(odds.publish_unanswered, "the answer to a publish was lost")
        await process.point()


class FaultyWarehouse(PartialWarehouse):
    """The warehouse as a process sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._inner = process.world.warehouse

    def stage(self, *arguments: Any, **options: Any) -> Any:
        return _Guarded(self._process, self._inner.stage(*arguments, **options))

    async def ensure_table(self, *arguments: Any, **options: Any) -> None:
        await self._process.point()

    async def load(self, load: Any, *stages: Any) -> Any:
        return await self._send(lambda: self._inner.load(load, *(stage.inner for stage in stages)))

    async def query(self, *arguments: Any, **options: Any) -> Any:
        return await self._send(lambda: self._inner.query(*arguments, **options))

    async def call(self, *arguments: Any, **options: Any) -> Any:
        return await self._send(lambda: self._inner.call(*arguments, **options))

    async def _send(self, write: Callable[[], Awaitable[Any]]) -> Any:
        world = self._process.world
        world.watch.check_owner(self._process)
        try:
            await self._process.point()
        except Killed:
            if world.rng.random() < world.odds.write_late:
                world.spawn(self._late(write))
            raise
        self._process.refuse(world.odds.warehouse_refused, "the warehouse is away")
        result = await write()
        self._process.refuse(world.odds.warehouse_unanswered, "the answer of the warehouse was lost")
        await self._process.point()
        return result

    async def _late(self, write: Callable[[], Awaitable[Any]]) -> None:
        world = self._process.world
        await world.clock.sleep(world.rng.uniform(0, world.odds.write_late_max_s))
        with suppress(LeaseLost):
            await write()

    async def close_job(self, *arguments: Any, **options: Any) -> Any:
        await self._process.point()
        self._process.refuse(self._process.world.odds.warehouse_refused, "the warehouse is away")
        effect = await self._inner.close_job(*arguments, **options)
        await self._process.point()
        return effect


class FaultyKeyring:
    """The keyring as a process sees it."""

    def __init__(self, process: Process, inner: Keyring) -> None:
        self._process = process
        self._inner = inner

    async def encrypt(self, plaintext: bytes, aad: str) -> str:
        await self._before()
        return await self._inner.encrypt(plaintext, aad)

    async def decrypt(self, ciphertext: str, aad: str) -> bytes:
        await self._before()
        return await self._inner.decrypt(ciphertext, aad)

    def version(self, ciphertext: str) -> str:
        return self._inner.version(ciphertext)

    async def stale(self, ciphertext: str) -> bool:
        await self._before()
        return await self._inner.stale(ciphertext)

    async def _before(self) -> None:
        await self._process.point()
        self._process.refuse(self._process.world.odds.keyring_refused, "the keyring is away")


class _Guarded:
    def __init__(self, process: Process, inner: Any) -> None:
        self._process = process
        self.inner = inner

    async def write(self, part: int, rows: Any) -> None:
        await self._process.point()
        await self.inner.write(part, rows)

    async def flush(self) -> None:
        await self._process.point()
        await self.inner.flush()

    async def discard(self, from_part: int = 0) -> None:
        await self._process.point()
        await self.inner.discard(from_part)


class SeededIds:
    """`Ids` from the world's randomness."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self._rng.getrandbits(80):020x}"

    def fraction(self) -> float:
        return self._rng.random()
