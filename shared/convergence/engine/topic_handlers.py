"""The engine's handlers by topic: one table for all ways in which messages arrive."""

from __future__ import annotations

from functools import partial

from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.dispatch_message import on_dispatch
from convergence.engine.queue.handler import on_queue_changed
from convergence.engine.services import Services
from convergence.engine.step.run_step import on_step_ready
from convergence.engine.tick import on_tick
from convergence.engine.webhooks.send import on_webhook_ready
from convergence.ports.bus import DEAD_LETTER, DISPATCH, QUEUE_CHANGED, STEP_READY, TICK, WEBHOOK_READY, Handler


def handlers(services: Services) -> dict[str, Handler]:
    """Return the engine's handlers by topic. Events are not among them: they drive nothing."""
    return {
        STEP_READY: partial(on_step_ready, services),
        DEAD_LETTER: partial(on_dead_letter, services),
        DISPATCH: partial(on_dispatch, services),
        QUEUE_CHANGED: partial(on_queue_changed, services),
        TICK: partial(on_tick, services),
        WEBHOOK_READY: partial(on_webhook_ready, services),
    }
