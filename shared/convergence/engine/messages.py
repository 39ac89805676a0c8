"""What travels on the bus: hints for steps, events for everybody else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import orjson

from convergence.domain.events import Event
from convergence.domain.run import Run
from convergence.errors import InvalidInput
from convergence.ports.bus import RUN_EVENTS, STEP_READY, Bus, Message

SCHEMA_VERSION = "1"


class StepReady(NamedTuple):
    """Look at this step now. Nothing in it is trusted but the names."""

    run_id: str
    step_id: str
    epoch: int

    def encode(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps({"v": SCHEMA_VERSION, "run_id": self.run_id, "step_id": self.step_id, "epoch": self.epoch})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a message's data. Raises `InvalidInput` for anything that is not one of ours."""
        try:
            fields = orjson.loads(data)
            run_id, step_id, epoch, version = fields["run_id"], fields["step_id"], fields["epoch"], fields["v"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidInput(f"not a step-ready message: {error}") from error
        if not (isinstance(run_id, str) and isinstance(step_id, str) and type(epoch) is int):
            raise InvalidInput("not a step-ready message: run_id and step_id are text, epoch is an integer")
        if version != SCHEMA_VERSION or "/" in run_id or "/" in step_id:
            raise InvalidInput(f"not a step-ready message of schema version {SCHEMA_VERSION}")
        return cls(run_id, step_id, epoch)


async def publish_ready(bus: Bus, run: Run, step_ids: Iterable[str]) -> None:
    """Hint that steps may start; one call for all."""
    attributes = {"org": run.org, "run_id": run.run_id}
    messages = [Message(StepReady(run.run_id, step, run.epoch).encode(), attributes) for step in step_ids]
    if messages:
        await bus.publish(STEP_READY, messages)


async def publish_events(bus: Bus, events: Iterable[Event]) -> None:
    """Tell what happened."""
    await bus.publish(RUN_EVENTS, [_message(event) for event in events])


def _message(event: Event) -> Message:
    attributes = {"org": event["org"], "run_id": event["data"]["run_id"], "type": event["type"]}
    return Message(orjson.dumps(event), attributes)
