"""The topic `queue-changed`: a run was queued, or one has ended and left room."""

from __future__ import annotations

from convergence.engine.backfills.feed import feed
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.messages import QueueChanged
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import release_held
from convergence.engine.queue.wake import wake, wake_after
from convergence.engine.services import Services
from convergence.engine.store import read_run
from convergence.errors import InvalidInput
from convergence.ports.bus import Ack, Answer, Delivery


async def on_queue_changed(services: Services, delivery: Delivery) -> Answer:
    """Handle one message. Losing it costs time only: what is due is found by the tick."""
    try:
        changed = QueueChanged.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return Ack()
    ready = await (_after(services, changed.run_id) if changed.run_id else wake(services, changed.org))
    turns = services.cache.admissions
    if ready and not turns.waiting:  # a pass that has not begun sees what this message is about
        async with turns.turn():
            await admission_pass(services)
    return Ack()


async def _after(services: Services, run_id: str) -> bool:
    stored = await read_run(services, run_id)
    if stored is None:
        return False
    if stored.run.backfill_id:
        await feed(services, stored.run.backfill_id)
    released = await release_held(services, run_id) if stored.run.schedule_id else 0
    return await wake_after(services, stored.run) or released > 0
