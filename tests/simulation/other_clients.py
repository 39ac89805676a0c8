"""Clients that ask in other ways: through the bus, or with another client's idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convergence.engine.dispatch_message import DispatchMessage
from convergence.ports.bus import DISPATCH
from tests.simulation.client import Client

if TYPE_CHECKING:
    from tests.simulation.world import World

TRIGGER = "schedule"


class MessageClient(Client):
    """Publishes a request, and publishes it again while nothing comes of it, as a scheduler does."""

    def __init__(self, world: World, number: int, org: str, shape: int) -> None:
        super().__init__(world, number, org, shape)
        key = self.request.idempotency_key or ""
        given: Any = {"org": org, "pipeline": self.request.pipeline, "trigger": TRIGGER, "idempotency_key": key}
        asked = DispatchMessage(**given)
        self.request, self.message = asked.request(), asked.encode()
        world.without_key.add(self.wanted_id)

    async def _obtain(self) -> None:
        world, mark = self.world, self._mark()
        if world.any_process() is not None:
            world.broker.accept(DISPATCH, [self.message])
        await world.clock.sleep(world.rng.uniform(60, 900))
        usage = world.state.get(f"orgs/{self.org}/usage/current") or {}
        if f"runs/{self.wanted_id}" in world.state:
            self.run_id = self.wanted_id
        else:
            self.refused = mark is not None or usage.get("month_count", 0) >= world.limits.monthly


class Twin(Client):
    """Uses another client's key for the same request; needs no more than the run that both get."""

    judges = False

    def __init__(self, original: Client) -> None:
        super().__init__(original.world, 0, original.org, original.shape)
        self.request, self.original = original.request, original
        self.cancels_after_s = None

    async def _see_it_through(self) -> None:
        if self.run_id != self.wanted_id:
            raise self.world.violated(f"{self.run_id} was made with the key of {self.wanted_id}")
