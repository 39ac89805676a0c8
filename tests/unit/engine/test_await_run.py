"""Waiting for a run that others drive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.await_run import await_run
from convergence.ports.bus import STEP_READY, Message
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO


def test_a_run_that_ended_is_returned_with_its_rows_counted(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Run:
        run = await engine.start()
        return await await_run(engine.services, "acme", run.run_id, 60)

    run = engine.run_scenario(scenario)
    assert (run.status, run.check_at, run.totals is not None) == (RunStatus.COMPLETED, None, True)
    assert engine.loop.time() < 5


def test_a_run_that_goes_on_is_returned_as_it_is(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.bus.detach()  # nothing drives it

    async def scenario() -> Run:
        run = await engine.start()
        return await await_run(engine.services, "acme", run.run_id, 7.2)

    assert engine.run_scenario(scenario).status is RunStatus.RUNNING
    assert 7.2 <= engine.loop.time() < 7.3


def test_a_slow_end_step_is_not_woken_twice_a_second(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: load_a, ps_type: generic.noop}
  - {step_id: tell, ps_type: generic.noop, trigger: on_success}
""")

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await asyncio.sleep(40)
        return {"status": "SUCCESS"}

    engine.works["tell"] = slow
    hints: list[Message] = []
    engine.bus.tap(STEP_READY, hints.extend)

    async def scenario() -> Run:
        run = await engine.start()
        return await await_run(engine.services, "acme", run.run_id, 60)

    assert engine.run_scenario(scenario).check_at is None
    assert 40 <= engine.loop.time() <= 48
    assert len(hints) < 12
