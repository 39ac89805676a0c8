"""Runs that fail while their source is away, and replays of them that go to their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import DeadLetterReplay
from convergence.domain.run import Run
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.feed_replays import feed_replays_due
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dead_letters.replays import ReplaysRequest
from convergence.engine.store import read_run
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine

DAYS = """
parameters:
  start_date: {type: date, default: "2026-11-01"}
  end_date: {type: date, default: "2026-11-02"}
  account: {type: string, default: none}
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: [extract_a]}
"""


class Source:
    """What load_b reads: away until it is repaired, and always for the runs in `broken`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.away = True
        self.broken: set[str] = set()
        self.held = ""  # whose runs do not end
        engine.works["load_b"] = self.load

    async def load(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        while self.held == context.org_slug:
            await self.engine.clock.sleep(5)
        if self.away or context.run_id in self.broken:
            raise StepFailed("the source is away")
        return {"status": "SUCCESS", "rows_written": 170}


async def outage(engine: Engine, count: int, org: str = "acme") -> list[Run]:
    """Let so many runs fail."""
    runs = []
    for number in range(count):
        runs.append(await engine.run(org=org, idempotency_key=f"{org}-{number}"))
        await engine.clock.sleep(1)  # they are ordered by time
    return runs


async def to_its_end(engine: Engine, replay: DeadLetterReplay, *, rounds: int = 40) -> DeadLetterReplay:
    """Tick until it is over."""
    for _ in range(rounds):
        await engine.clock.sleep(16)
        await feed_replays_due(engine.services)
        found = await replays.require_replay(engine.services, None, replay.replay_id)
        if found.replay.over and not found.replay.window:
            return found.replay
    raise AssertionError(f"not over: {found.replay}")


def request(**wanted: Any) -> ReplaysRequest:
    more = {name: wanted.pop(name) for name in ("parameters", "per_minute", "failures_max") if name in wanted}
    return ReplaysRequest(criteria=Filter(**({"org": "acme", "state": DeadLetterState.OPEN} | wanted)), **more)


async def epoch(engine: Engine, run: Run) -> int:
    found = await read_run(engine.services, run.run_id)
    assert found is not None
    return found.run.epoch
