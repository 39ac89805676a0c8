"""Waiting for a run that others drive."""

from __future__ import annotations

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.await_run import await_run
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO


def test_a_run_that_ended_is_returned_with_its_rows_counted(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def story() -> Run:
        run = await engine.start()
        return await await_run(engine.services, "acme", run.run_id, 60)

    run = engine.live(story)
    assert (run.status, run.check_at, run.totals is not None) == (RunStatus.COMPLETED, None, True)
    assert engine.loop.time() < 5


def test_a_run_that_goes_on_is_returned_as_it_is(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.bus._topics.clear()  # nobody drives it

    async def story() -> Run:
        run = await engine.start()
        return await await_run(engine.services, "acme", run.run_id, 7.2)

    assert engine.live(story).status is RunStatus.RUNNING
    assert 7.2 <= engine.loop.time() < 7.3
