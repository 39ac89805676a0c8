"""Dead letters of the engine (a step failed for good) and of the bus (deliveries failed)."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import orjson

from convergence.domain.status import StepStatus
from convergence.domain.times import to_text
from convergence.engine.finish_run import fail_run
from convergence.engine.messages import QUEUE_KIND, WEBHOOK_KIND, StepReady, message
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS, read_plan, read_run, read_steps, record_id
from convergence.engine.wake_dependents import wake_dependents
from convergence.errors import Conflict, InvalidInput
from convergence.ports.bus import DEAD_LETTER, Ack, Answer, Delivery
from convergence.ports.documents import Create

_KEPT_BYTES_MAX: Final = 262_144
_LEFT_TO_THE_TICK: Final = frozenset({"engine", QUEUE_KIND, WEBHOOK_KIND})  # it does what a lost hint was about
_REASON_MAX: Final = 2_000  # characters: a reason may repeat what the sender wrote, megabytes of it


async def announce(services: Services, dead_letter: Create) -> None:
    """Publish that a dead letter was written; the document is the truth, so losing this message is harmless."""
    name = dead_letter.path.rpartition("/")[2]
    await services.bus.publish(DEAD_LETTER, [message(orjson.dumps({"letter": name}), kind="engine")])


async def on_dead_letter(services: Services, delivery: Delivery) -> Answer:
    """Handle what the bus gave up on: it proves that deliveries failed, not that the step did (docs/engine.md §7).

    A step that failed fails its run, a step that is done wakes its dependents, anything else is left to the reconciler.
    """
    if delivery.message.attributes.get("kind") in _LEFT_TO_THE_TICK:
        return Ack()
    if (
        delivery.message.attributes.get("kind") == "dispatch"
    ):  # its run was never created, so nothing else will report it
        times = delivery.message.attributes.get("CloudPubSubDeadLetterSourceDeliveryCount", "its last")
        reason = f"the run that it asks for could not be created in {times} deliveries; the log has the reasons"
        await keep_unreadable(services, delivery, reason, code="message.given_up")
        return Ack()
    try:
        ready = StepReady.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return Ack()
    stored = await read_run(services, ready.run_id)
    if stored is None or stored.run.epoch != ready.epoch or stored.run.terminal:
        return Ack()
    plan = await read_plan(services, stored.run)
    planned = plan.by_id.get(ready.step_id)
    if planned is None:
        return Ack()
    (step,) = await read_steps(services, stored.run, [record_id(planned, stored.run.epoch)])
    if step is not None and step.step.status is StepStatus.FAILED:
        await fail_run(services, stored, step.step.error or {})
    elif step is not None and step.step.done:
        await wake_dependents(services, stored, plan, planned)
    return Ack()


async def keep_unreadable(
    services: Services, delivery: Delivery, reason: str, *, code: str = "message.unreadable"
) -> None:
    """Store an unreadable message as a dead letter, raw bytes included; a repeat yields the same dead letter.

    A document holds 1 MiB: of a larger message the beginning and the size are kept; of a long reason, the beginning.
    """
    data = delivery.message.data
    dead_letter = {
        "org": delivery.message.attributes.get("org", ""),
        "topic": delivery.topic,
        "error": {"code": code, "message": reason if len(reason) <= _REASON_MAX else reason[:_REASON_MAX] + " …"},
        "data": base64.b64encode(data[:_KEPT_BYTES_MAX]).decode(),
        "data_bytes": len(data),
        "attributes": dict(delivery.message.attributes),
        "created_at": to_text(services.clock.now()),
    }
    try:
        await services.documents.commit([Create(f"{DEAD_LETTERS}/message.{_digest(delivery)}", dead_letter)])
    except Conflict:
        return  # stored already


def _digest(delivery: Delivery) -> str:
    """Return a digest that identifies a message, also among messages with the same bytes."""
    message = delivery.message
    named = [delivery.topic, delivery.message_id, dict(message.attributes)]
    return hashlib.blake2b(orjson.dumps(named, option=orjson.OPT_SORT_KEYS) + message.data, digest_size=20).hexdigest()
