"""Waking what comes next, ending a run, and looking after it: each once, also when others do the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.times import from_text, to_text
from convergence.engine.finish_run import fail_run, finish_run
from convergence.engine.messages import StepReady
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.reconcile import count_unclosed, count_unfinished, reconcile
from convergence.engine.replay import replay
from convergence.engine.step.run_step import run_step
from convergence.engine.store import read_run, require_run
from convergence.engine.tick import admit_due
from convergence.engine.views import runs as views
from convergence.errors import StepFailed, Transient
from convergence.ports.bus import STEP_READY, Message
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one

JOIN = """
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: extract_b, ps_type: generic.noop}
  - {step_id: load_c, ps_type: generic.noop, depends_on: [extract_a, extract_b]}
"""


def test_a_join_whose_message_was_not_published_is_woken_by_the_next_delivery(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(JOIN)
    refusals = iter([Transient("the bus is away")])
    publish = engine.bus.publish
    sent: list[Any] = []

    async def sometimes(topic: str, messages: list[Message]) -> None:
        if topic == STEP_READY:
            sent.extend(StepReady.decode(message.data).step_id for message in messages)
            if sent[-1] == "load_c" and (error := next(refusals, None)):
                raise error
        await publish(topic, messages)

    async def scenario() -> None:
        engine.bus.detach()
        run = await engine.start()
        monkeypatch.setattr(engine.bus, "publish", sometimes)
        last = StepReady(run.run_id, "extract_b", 0)
        await run_step(engine.services, StepReady(run.run_id, "extract_a", 0))
        with pytest.raises(Transient):
            await run_step(engine.services, last)
        await run_step(engine.services, last)
        await run_step(engine.services, last)  # now it is remembered

    engine.run_scenario(scenario)
    assert sent == ["load_c", "load_c"]


@pytest.mark.parametrize("end", ["finish", "fail"])
def test_a_late_end_of_an_older_epoch_does_not_end_the_replay(engine: Engine, end: str) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = failing(StepFailed("x"))

    async def scenario() -> Any:
        run = await engine.start()
        stale = await require_run(engine.services, "acme", run.run_id)
        await engine.bus.idle()
        engine.bus.detach()
        await replay(engine.services, "acme", run.run_id)
        if end == "finish":
            await finish_run(engine.services, stale)
        else:
            await fail_run(engine.services, stale, {"code": "step.failed", "message": "late", "step_id": "load_b"})
        return await engine.data(run.path), await engine.data("orgs/acme/usage/current")

    run, usage = engine.run_scenario(scenario)
    assert (run["status"], run["epoch"], run["error"]) == ("running", 1, None)
    assert list(usage["active"]) == [run["run_id"]]


def test_a_run_that_cannot_be_read_is_put_off(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> Any:
        engine.bus.detach()
        bad = await engine.start()
        await engine.documents.commit([Patch(bad.path, unset=[("digest",)])])
        await engine.clock.sleep(61)
        assert await reconcile(engine.services) == 1
        put_off = (await engine.data(bad.path))["check_at"]
        return engine.clock.now(), put_off, await reconcile(engine.services)

    now, put_off, again = engine.run_scenario(scenario)
    due = now + timedelta(seconds=engine.services.settings.check_every_s)
    assert put_off == to_text(due)
    assert again == 0


def test_end_steps_are_waited_for_as_long_as_the_pipeline_may_take_and_no_longer(engine: Engine) -> None:
    engine.pipeline("""
timeout_minutes: 10
steps:
  - {step_id: load_a, ps_type: generic.noop}
  - {step_id: tell, ps_type: generic.noop, trigger: on_failure}
""")
    engine.works["load_a"] = failing(StepFailed("x"))

    async def scenario() -> list[bool]:
        subscriptions = engine.bus.detach()
        run = await engine.start()
        await run_step(engine.services, StepReady(run.run_id, "load_a", 0))
        looked_at = []
        for wait_s in (599.0, 61.0):
            await engine.clock.sleep(wait_s)
            await reconcile(engine.services)
            stored = await read_run(engine.services, run.run_id)
            assert stored is not None
            looked_at.append(stored.run.check_at is not None)
        engine.bus.attach(subscriptions)
        return looked_at

    assert engine.run_scenario(scenario) == [True, False]


def test_a_reservation_lasts_until_the_last_lease_has_ended(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("x"))

    async def scenario() -> list[Any]:
        seen = []
        engine.bus.detach()
        run = await engine.start()
        seen.append((run.deadline_at, await reserved_until(engine, run.run_id)))
        await engine.clock.sleep(100_000)
        await reconcile(engine.services)  # it never began: it gets its full time
        stored = await require_run(engine.services, "acme", run.run_id)
        seen.append((stored.run.deadline_at, await reserved_until(engine, run.run_id)))
        await run_step(engine.services, StepReady(run.run_id, "load_a", 0))
        again = await replay(engine.services, "acme", run.run_id)
        seen.append((again.deadline_at, await reserved_until(engine, run.run_id)))
        return seen

    for deadline_at, until in engine.run_scenario(scenario):
        assert until - deadline_at == timedelta(seconds=engine.services.settings.lease_s)


async def reserved_until(engine: Engine, run_id: str) -> Any:
    return from_text((await engine.data("orgs/acme/usage/current"))["active"][run_id])


@pytest.mark.parametrize("queued", [False, True])
def test_a_pipeline_of_end_steps_only_ends_at_once(engine: Engine, queued: bool) -> None:
    engine.pipeline("steps:\n  - {step_id: tell, ps_type: generic.noop, trigger: on_success}\n")

    async def scenario() -> Any:
        if queued:
            request = RunRequest(org="acme", pipeline="p/d/n", trigger="api")
            run = await enqueue(engine.services, (await prepare(engine.services, request)).run)
            await admit_due(engine.services)
        else:
            run = await engine.start()
        await engine.bus.idle()
        return await views.status(engine.services, "acme", run.run_id)

    run = engine.run_scenario(scenario)
    assert (run["status"], run["steps"][0]["status"]) == ("completed", "completed")
    assert engine.loop.time() < 1


def test_a_worker_counts_the_rows_of_a_completed_run_without_a_waiting_caller(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        await engine.worker.start()
        run = await engine.start()
        await engine.clock.sleep(12)
        within = await engine.data(run.path)
        again = await engine.start()
        await engine.bus.idle()
        left = await count_unfinished(engine.services, 10)
        await engine.worker.drain(5)
        return within, left, await engine.data(again.path)

    within, left, drained = engine.run_scenario(scenario)
    assert (within["status"], within["check_at"]) == ("completed", None)
    assert (drained["status"], drained["check_at"]) == ("completed", None)
    assert left == 0


def test_only_runs_with_steps_left_count_as_unfinished(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> tuple[int, int, int]:
        await engine.start()
        await engine.bus.idle()
        engine.bus.detach()
        await engine.start()
        await engine.start()
        unfinished = await count_unfinished(engine.services, 10)
        return unfinished, await count_unfinished(engine.services, 1), await count_unclosed(engine.services)

    assert engine.run_scenario(scenario) == (2, 1, 3)
