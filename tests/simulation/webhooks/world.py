"""A world whose orgs have webhooks: each event of a run reaches each webhook that wants it, or fails after a day."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from convergence.domain.records import changed
from convergence.domain.times import from_text, to_text
from convergence.domain.webhook import EVENTS, Webhook, Webhooks
from convergence.domain.webhook_delivery import delivery_path
from convergence.engine.webhooks import send
from convergence.errors import ConvergenceError
from convergence.ports.bus import WEBHOOK_READY
from convergence.ports.documents import Where
from convergence.tenants.webhooks import change_webhooks, new_secret
from tests.simulation.broker import HANDLERS
from tests.simulation.faults import Killed, Process
from tests.simulation.operator import Operator
from tests.simulation.webhooks.receiver import GONE, Receivers
from tests.simulation.world import Violation, World


class WebhookOperator(Operator):
    """Gives orgs webhooks too."""

    async def found_orgs(self) -> None:
        """Set up orgs, each with a key and with webhooks."""
        await super().found_orgs()
        world = self.world
        for org in world.orgs:
            for number in range(world.rng.randint(1, 2)):
                await self._add(org, f"whk_{number}")

    def __init__(self, world: WebhookWorld, keyring: Any) -> None:
        super().__init__(world, keyring)
        self.world, self._sealing = world, keyring

    async def _add(self, org: str, webhook_id: str) -> None:
        world, now = self.world, self.world.clock.now()
        _, secret = await new_secret(self._sealing, org, webhook_id, "whs_1", now)
        gone = world.rng.random() < world.gone
        webhook = Webhook(
            webhook_id=webhook_id,
            url=f"https://hooks.example.com/{org}/{GONE if gone else webhook_id}",
            events=tuple(world.rng.sample(EVENTS, 3)),
            secrets=(secret,),
            created_at=now,
            updated_at=now,
        )

        def edit(before: Webhooks) -> Webhooks:
            return changed(before, webhooks={**before.webhooks, webhook_id: webhook})

        world.webhooks[org, webhook_id] = webhook
        await change_webhooks(world.documents, org, edit, token=f"{org}.{webhook_id}")


class WebhookWorld(World):
    """The worlds of `World`, watched from the receivers' side. `gone`: how many receivers accept nothing, of one."""

    def __init__(self, seed: int, *, gone: float = 0.0, **options: Any) -> None:
        super().__init__(seed, **options)
        self.gone = gone
        self.webhooks: dict[tuple[str, str], Webhook] = {}
        self.receivers = Receivers(self)
        self.operator = WebhookOperator(self, self._keyring)
        self.broker.handlers = {**HANDLERS, WEBHOOK_READY: send.on_webhook_ready}

    def http(self, process: Process) -> Any:
        """Return a machine's HTTP client."""
        return self.receivers.client(process)

    def _at_work(self, process: Process) -> None:
        super()._at_work(process)
        self.spawn(self._hinting(process))

    async def _hinting(self, process: Process) -> None:
        with contextlib.suppress(Killed):
            while True:
                await self.clock.sleep(self.rng.uniform(30, 90))
                with contextlib.suppress(ConvergenceError):
                    await send.hint_due(process.services)

    async def _at_rest(self) -> bool:
        pending = await self.documents.count(
            "webhook_deliveries", where=[Where("next_attempt_at", "<=", to_text(self.clock.now().replace(year=2100)))]
        )
        return not pending and await super()._at_rest()

    async def _scenario(self) -> None:
        await super()._scenario()
        self._check_deliveries()

    def _check_deliveries(self) -> None:
        """Every move that a webhook asks for is one delivery, and nothing else is."""
        wanted = {
            (org, webhook_id, event)
            for (org, webhook_id), webhook in self.webhooks.items()
            for run in self._runs()
            if run["org"] == org
            for event, kind in _moves(run)
            if webhook.wants(kind, run["pipeline"])
        }
        stored = {
            (each["org"], each["webhook_id"], each["event_id"]): each
            for path, each in self.state.items()
            if path.startswith(delivery_path(""))
        }
        count = sum(path.startswith(delivery_path("")) for path in self.state)
        if len(stored) != count:
            raise Violation("an event has two deliveries to one webhook")
        if wanted != stored.keys():
            raise Violation(f"lost {sorted(wanted - stored.keys())}, made up {sorted(stored.keys() - wanted)}")
        for delivery in stored.values():
            self._check_end(delivery)

    def _check_end(self, delivery: Mapping[str, Any]) -> None:
        name = f"delivery {delivery['delivery_id']} of {delivery['event_id']}"
        came = self.receivers.events[delivery["delivery_id"]]
        if delivery["status"] == "delivered":
            if set(came) != {delivery["event_id"]}:
                raise Violation(f"{name} is delivered, what came is {came}")
            return
        if delivery["status"] != "failed":
            raise Violation(f"{name} ended as {delivery['status']}")
        if not self.webhooks[delivery["org"], delivery["webhook_id"]].url.endswith(GONE):
            raise Violation(f"{name} failed, and its receiver was there for most of the day")
        if from_text(delivery["ended_at"]) < from_text(delivery["give_up_at"]):
            raise Violation(f"{name} failed before its day was over")

    def _runs(self) -> list[dict[str, Any]]:
        found = [each for path, each in self.state.items() if path.startswith("runs/") and path.count("/") == 1]
        # Long histories lose their middle: of such a run nothing is known.
        if any(len(each["transitions"]) != each["moves"] for each in found):
            raise asyncio.InvalidStateError("a history was cut: let these worlds have fewer replays")
        return found


def _moves(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the id and the type of the event of each move."""
    return [(f"{run['run_id']}#{number + 1}", f"run.{move[1]}") for number, move in enumerate(run["transitions"])]
