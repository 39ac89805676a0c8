"""A bus that loses, doubles, delays and reorders; deliveries go to any process that lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.dispatch_message import KIND, on_dispatch
from convergence.engine.services import Services
from convergence.engine.step.run_step import on_step_ready
from convergence.ports.bus import DEAD_LETTER, DISPATCH, RUN_EVENTS, STEP_READY, Ack, Answer, Delivery, Message, Retry
from tests.simulation.faults import Killed

if TYPE_CHECKING:
    from tests.simulation.world import World

ServiceHandler = Callable[[Services, Delivery], Awaitable[Answer]]
HANDLERS: dict[str, ServiceHandler] = {STEP_READY: on_step_ready, DEAD_LETTER: on_dead_letter, DISPATCH: on_dispatch}
ACK_DEADLINE_S = 600.0
REDELIVERY_MIN_S = 10.0  # a subscriber that dies is sometimes noticed early


class Broker:
    """Every message that the engine publishes passes here."""

    handlers: Mapping[str, ServiceHandler] = HANDLERS

    def __init__(self, world: World, deliveries_max: int) -> None:
        self._world = world
        self._deliveries_max = deliveries_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.events: list[bytes] = []
        self._bus = 0  # embedded, the bus dies with its process, and all that waits in it

    def accept(self, topic: str, messages: Sequence[Message]) -> None:
        """Take messages in; some never come out, some twice."""
        world, odds, rng = self._world, self._world.odds, self._world.rng
        for message in messages:
            world.check_plaintext(message.data)
            if topic == RUN_EVENTS:
                self.events.append(message.data)
                continue
            if topic not in self.handlers:  # hints for the scheduler, in a world where nothing is queued
                continue
            copies = 0 if rng.random() < odds.message_lost else 2 if rng.random() < odds.message_doubled else 1
            for _ in range(copies):
                late = rng.random() < odds.message_late
                delay_s = rng.uniform(0, odds.message_late_max_s if late else odds.message_delay_max_s)
                self._later(delay_s, Delivery(message, f"m{rng.getrandbits(32)}", 1, topic))

    def forget(self) -> None:
        """Lose every message."""
        self._bus += 1

    def _later(self, delay_s: float, delivery: Delivery) -> None:
        self._world.loop.call_later(delay_s, self._start, self._bus, delivery)

    def _start(self, bus: int, delivery: Delivery) -> None:
        if bus != self._bus:
            return
        task = self._world.loop.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery) -> None:
        process = self._world.any_process()
        if process is None:
            self._later(10.0, delivery)
            return
        try:
            answer = await self.handlers[delivery.topic](process.services, delivery)
        except Killed:
            if self._world.embedded:
                return
            self._again(delivery, self._world.rng.uniform(REDELIVERY_MIN_S, ACK_DEADLINE_S))
        except Exception:  # the push entry answers 500: deliver again
            self._again(delivery, 10.0)
        else:
            if isinstance(answer, Retry):
                self._again(delivery, min(60.0, 2.0**delivery.attempt) if answer.after_s is None else answer.after_s)
            else:
                assert isinstance(answer, Ack)
                if delivery.message.attributes.get("kind") == KIND:
                    self._world.watch.check_answered(delivery.message)

    def _again(self, delivery: Delivery, after_s: float) -> None:
        if delivery.attempt >= self._deliveries_max:
            if delivery.topic != DEAD_LETTER:
                self.accept(DEAD_LETTER, [delivery.message])
            return
        self._later(after_s, Delivery(delivery.message, delivery.message_id, delivery.attempt + 1, delivery.topic))
