"""A deployed function: instances with room for some requests each, as its function.yaml says, and pushes to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from convergence.config.files.functions import FunctionFile
from convergence.engine.topic_handlers import handlers
from convergence.ports.bus import Ack, Delivery, Handler
from tests.bench.fleet import scenario as assumed
from tests.simulation.faults import Killed

if TYPE_CHECKING:
    from convergence.engine.services import Services
    from tests.bench.fleet.night import Night


class Instance:
    """One instance: its own services, and so its own memory."""

    def __init__(self, name: str, ready_at_s: float) -> None:
        self.name = name
        self.ready_at_s = ready_at_s
        self.alive = True
        self.at_work: dict[int, Delivery] = {}
        self.since_s = self.idle_since_s = ready_at_s
        self.handlers: dict[str, Handler] = {}

    def check(self) -> None:
        """Raise `Killed` when the instance is dead."""
        if not self.alive:
            raise Killed

    def use(self, services: Services) -> None:
        """Handle topics with these services."""
        self.handlers = handlers(services)


class Function:
    """Pushes go to the instance with the most requests that has room; without one a new instance starts."""

    def __init__(self, night: Night, file: FunctionFile, services: Callable[[Instance], Services]) -> None:
        self.file = file
        self.busy_max = 0
        self.refused = 0  # pushes without room, which come again
        self._night, self._services = night, services
        self._instances: list[Instance] = []
        self._started = self._busy = self._number = 0
        self._triggers = {trigger.topic: trigger for trigger in file.triggers}
        self._tasks: set[asyncio.Task[None]] = set()

    def arrive(self, delivery: Delivery) -> None:
        """Take a push."""
        instance = self._room()
        if instance is None:
            self.refused += 1
            self._again(delivery)
            return
        task = self._night.loop.create_task(self._handle(instance, delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lose(self, share: float) -> int:
        """Let that share of the instances die; what they were working on is pushed again. Return how many requests."""
        dying = self._instances[: round(len(self._instances) * share)]
        self._instances = self._instances[len(dying) :]
        lost = [delivery for instance in dying for delivery in instance.at_work.values()]
        for instance in dying:
            instance.alive = False
            self._busy -= len(instance.at_work)
        for delivery in lost:
            self._again(delivery)
        return len(lost)

    def _room(self) -> Instance | None:
        now_s = self._night.loop.now_s
        self._instances = [
            each for each in self._instances if each.at_work or now_s - each.idle_since_s < assumed.IDLE_S
        ]
        fits = [each for each in self._instances if len(each.at_work) < self.file.concurrency]
        if fits:
            return max(fits, key=lambda each: len(each.at_work))
        if len(self._instances) >= self.file.max_instances:
            return None
        self._started += 1
        instance = Instance(f"{self.file.name}-{self._started}", now_s + assumed.COLD_S)
        instance.use(self._services(instance))
        self._instances.append(instance)
        return instance

    async def _handle(self, instance: Instance, delivery: Delivery) -> None:
        self._number += 1
        number = self._number
        self._begin(instance, number, delivery)
        try:
            await asyncio.sleep(max(0.0, instance.ready_at_s - self._night.loop.now_s))
            answer = await instance.handlers[delivery.topic](delivery)
        except Killed:
            return
        except Exception:  # the entry answers 500: push again
            self._night.errors += 1
            answer = None
        if not instance.alive:
            return
        self._end(instance, number)
        if not isinstance(answer, Ack):
            self._again(delivery)

    def _begin(self, instance: Instance, number: int, delivery: Delivery) -> None:
        if not instance.at_work:
            instance.since_s = self._night.loop.now_s
        instance.at_work[number] = delivery
        self._busy += 1
        self.busy_max = max(self.busy_max, self._busy)
        self._night.usage.requests[self.file.name] += 1

    def _end(self, instance: Instance, number: int) -> None:
        del instance.at_work[number]
        self._busy -= 1
        if not instance.at_work:
            instance.idle_since_s = self._night.loop.now_s
            self._night.usage.instance_s[self.file.name] += instance.idle_since_s - instance.since_s

    def _again(self, delivery: Delivery) -> None:
        trigger = self._triggers[delivery.topic]
        if trigger.dead_letter_topic and delivery.attempt >= trigger.deliveries_max:
            self._night.publish(trigger.dead_letter_topic, [delivery.message])
            return
        pause_s = min(trigger.backoff_max_s, trigger.backoff_min_s * 2.0 ** (delivery.attempt - 1))
        later = Delivery(delivery.message, delivery.message_id, delivery.attempt + 1, delivery.topic)
        self._night.loop.call_later(pause_s, self.arrive, later)
