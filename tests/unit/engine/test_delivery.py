"""What a delivery of a step's message does in the rarer states, and what is left in the step's document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.plan import PlanStep
from convergence.domain.run import Run
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from convergence.engine.messages import StepReady
from convergence.engine.replay import replay
from convergence.engine.services import EngineSettings
from convergence.engine.step.cooldown import rested
from convergence.engine.step.lease import is_leased
from convergence.engine.step.run_step import on_step_ready, run_step
from convergence.errors import StepFailed, Transient
from convergence.ports.bus import STEP_READY, Ack, Delivery, Message, Retry
from convergence.ports.documents import Replace
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one, returning


async def edit_step(engine: Engine, run: Run, step_id: str, **fields: Any) -> None:
    path = f"runs/{run.run_id}/steps/{step_id}"
    document = await engine.documents.get(path)
    assert document is not None
    await engine.documents.commit([Replace(path, document.version, {**document.data, **fields})])


def test_a_step_that_is_due_soon_asks_to_come_back_then(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 8}))
    engine.works["load_a"] = failing(Transient("away"), times=1)

    async def scenario() -> None:
        engine.bus.detach()
        run = await engine.start()
        assert isinstance(await run_step(engine.services, StepReady(run.run_id, "load_a", 0)), Retry)
        step = await engine.data(f"runs/{run.run_id}/steps/load_a")
        assert step["status"] == StepStatus.RETRYING
        answer = await run_step(engine.services, StepReady(run.run_id, "load_a", 0))
        assert isinstance(answer, Retry)
        assert answer.after_s is not None
        assert 0 < answer.after_s <= 8
        await engine.clock.sleep(1)
        later = await run_step(engine.services, StepReady(run.run_id, "load_a", 0))
        assert isinstance(later, Retry)
        assert later.after_s == pytest.approx(answer.after_s - 1)

    engine.run_scenario(scenario)


def test_a_run_whose_step_failed_while_its_process_died_fails_at_the_next_delivery(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()

    async def scenario() -> None:
        run = await engine.start()
        path = f"runs/{run.run_id}/steps/load_a"
        await run_step(engine.services, StepReady(run.run_id, "load_a", 0))
        error = {"code": "step.failed", "message": "no", "step_id": "load_a", "retryable": False, "at": None}
        await edit_step(engine, run, "load_a", status=StepStatus.FAILED, error=error)
        stored = await engine.documents.get(run.path)
        assert stored is not None
        data = {**stored.data, "status": RunStatus.RUNNING, "finished_at": None}
        await engine.documents.commit([Replace(run.path, stored.version, data)])
        assert await run_step(engine.services, StepReady(run.run_id, "load_a", 0)) == Ack()
        assert (await engine.data(path))["status"] == StepStatus.FAILED
        ended = await engine.data(run.path)
        assert (ended["status"], ended["error"]["message"]) == (RunStatus.FAILED, "no")

    engine.run_scenario(scenario)


def test_a_claimed_step_is_not_put_off_any_more(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 8}))
    seen: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append((await engine.data(f"runs/{context.run_id}/steps/load_a"))["not_before"])
        if len(seen) == 1:
            raise Transient("away")
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == RunStatus.COMPLETED
    assert seen == [None, None]


def test_a_step_that_went_on_in_pieces_keeps_no_checkpoint_when_it_ends(engine: Engine) -> None:
    engine.pipeline(one())
    answers: list[Mapping[str, Any]] = [{"status": "CONTINUE", "checkpoint": {"page": 2}}, {"status": "SUCCESS"}]
    pieces = iter(answers)

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return next(pieces)

    engine.works["load_a"] = work

    async def scenario() -> dict[str, Any]:
        run = await engine.run()
        return await engine.data(f"runs/{run.run_id}/steps/load_a")

    assert engine.run_scenario(scenario)["checkpoint"] is None


def test_a_replay_counts_rows_anew(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = returning({"status": "SUCCESS", "rows_written": 7})
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> None:
        failed = await engine.run()
        assert failed.totals["rows_written"] == 7
        engine.bus.detach()
        again = await replay(engine.services, "acme", failed.run_id)
        assert (again.totals, again.warnings, again.error) == ({}, (), None)

    engine.run_scenario(scenario)


@pytest.mark.parametrize(
    ("owner", "at_work", "sole", "lives_s", "leased"),
    [
        ("boot1", True, True, -1, True),  # this process is at it, whatever its lease says
        ("boot1", False, True, -1, False),
        ("boot1", False, True, 1, True),
        ("boot0", False, True, 1, False),  # an earlier boot is dead: this one has the lock
        ("boot0", False, False, 1, True),  # another machine
        ("boot0", False, False, -1, False),
    ],
)
def test_a_lease_holds_while_its_owner_may_be_alive(
    engine: Engine, owner: str, lives_s: float, *, at_work: bool, sole: bool, leased: bool
) -> None:
    assert engine.services.owner == "boot1"
    services = replace(engine.services, settings=EngineSettings(sole_process=sole))

    async def scenario() -> bool:
        if at_work:
            services.cache.at_work.add(("r", "s"))
        until = services.clock.now() + timedelta(seconds=lives_s)
        step = Step(step_id="s", status=StepStatus.RUNNING, lease_owner=owner, lease_until=until)
        return is_leased(services, "r", "s", step)

    assert engine.run_scenario(scenario) is leased


def test_a_notification_rests_for_its_time_and_for_other_runs_only(engine: Engine) -> None:
    engine.pipeline(one())
    engine.bus.detach()
    step = PlanStep(step_id="notify", ps_type="p", config={"config": {"cooldown_seconds": 60}})

    async def scenario() -> None:
        first, second = await engine.start(), await engine.start()
        begun = engine.clock.now()
        assert await rested(engine.services, first, step) == step
        assert await rested(engine.services, first, step) == step, "its own retry sends again"
        resting = await rested(engine.services, second, step)
        until = (begun + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S")
        assert str(resting.config["config"]["resting_until"]).startswith(until)
        await engine.clock.sleep(60)
        assert await rested(engine.services, second, step) == step

    engine.run_scenario(scenario)


def first_delivery(run: Run, step_id: str) -> Delivery:
    return Delivery(Message(StepReady(run.run_id, step_id, 0).encode()), "m", 1, STEP_READY)


def test_a_first_message_supposes_no_document_and_finds_one(engine: Engine) -> None:
    """The step is done: it is not executed again, and its dependents are woken (ADR 16)."""
    engine.pipeline(TWO)

    async def scenario() -> list[str]:
        run = await engine.start()
        engine.bus.detach()
        await on_step_ready(engine.services, first_delivery(run, "extract_a"))
        done = await engine.data(f"runs/{run.run_id}/steps/extract_a")
        engine.services.cache.fan_in.forget(run)
        hinted: list[str] = []
        engine.bus.tap(STEP_READY, lambda messages: hinted.extend(StepReady.decode(each.data)[1] for each in messages))
        assert await on_step_ready(engine.services, first_delivery(run, "extract_a")) == Ack()
        assert await engine.data(f"runs/{run.run_id}/steps/extract_a") == done
        return hinted

    assert engine.run_scenario(scenario) == ["load_b"]
    assert engine.started == ["extract_a"]


def test_a_first_message_that_is_early_creates_nothing(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        engine.bus.detach()
        run = await engine.start()
        assert await on_step_ready(engine.services, first_delivery(run, "load_b")) == Ack()
        return await engine.documents.get(f"runs/{run.run_id}/steps/load_b")

    assert engine.run_scenario(scenario) is None
