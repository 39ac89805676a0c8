"""The tick of the scheduler function: everything that happens because time has passed."""

from __future__ import annotations

from convergence.engine.backfills.feed import feed_due
from convergence.engine.dead_letters.feed_replays import feed_replays_due
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.wake import wake_due
from convergence.engine.reconcile import reconcile
from convergence.engine.retention.sweep import sweep_due
from convergence.engine.schedules.fire import Ticked, fire_due
from convergence.engine.schedules.sync import sync_requested
from convergence.engine.services import Services
from convergence.engine.webhooks.send import hint_due
from convergence.ports.bus import Ack, Answer, Delivery


async def on_tick(services: Services, delivery: Delivery) -> Answer:  # noqa: ARG001 - a tick has no content
    """Handle one message of the topic `tick`. In a process one is at work and one waits; more would do the same."""
    turns = services.cache.ticks
    if turns.waiting:
        return Ack()
    async with turns.turn():
        await fire_schedules(services)
        await reconcile(services)
        await admit_due(services)
        await hint_due(services)
        await sweep_due(services)
    return Ack()


async def fire_schedules(services: Services) -> Ticked:
    """Bring schedules in line with what orgs changed, then decide what is due."""
    await sync_requested(services)
    return await fire_due(services)


async def admit_due(services: Services) -> int:
    """Look at the orgs whose limits may have opened and admit what fits; return how many runs started."""
    await feed_due(services)
    await feed_replays_due(services)
    await wake_due(services)
    return (await admission_pass(services)).runs
