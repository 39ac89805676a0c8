"""Messages that the bus gave up on, and what is kept of those that cannot be read."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from convergence.engine.cancel import cancel
from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.dead_letters.find import Filter
from convergence.engine.messages import StepReady, publish_queue_changed
from convergence.engine.replay import replay
from convergence.engine.step.run_step import on_step_ready
from convergence.engine.views.dead_letters import dead_letters
from convergence.errors import StepFailed
from convergence.ports.bus import DEAD_LETTER, QUEUE_CHANGED, STEP_READY, Ack, Delivery, Message
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one


def given_up(run_id: str, step_id: str, epoch: int = 0) -> Delivery:
    return Delivery(Message(StepReady(run_id, step_id, epoch).encode()), "m1", 1, DEAD_LETTER)


async def half_done(engine: Engine) -> Any:
    """A run whose first step is done, and whose second was never told so."""
    run = await engine.start()
    engine.bus.detach()
    await on_step_ready(
        engine.services, Delivery(Message(StepReady(run.run_id, "extract_a", 0).encode()), "m", 1, STEP_READY)
    )
    return run


def steps_hinted(engine: Engine) -> list[str]:
    """Note the steps that are published from now on."""
    hinted: list[str] = []
    engine.bus.tap(STEP_READY, lambda messages: hinted.extend(orjson.loads(each.data)["step_id"] for each in messages))
    return hinted


@pytest.mark.parametrize(("epoch", "expected"), [(0, ["load_b"]), (1, [])])
def test_a_hint_that_was_given_up_wakes_the_dependents_of_a_step_that_is_done(
    engine: Engine, epoch: int, expected: list[str]
) -> None:
    engine.pipeline(TWO)

    async def scenario() -> list[str]:
        run = await half_done(engine)
        engine.services.cache.fan_in.forget(run)
        hinted = steps_hinted(engine)
        assert await on_dead_letter(engine.services, given_up(run.run_id, "extract_a", epoch)) == Ack()
        return hinted

    assert engine.run_scenario(scenario) == expected


def test_a_hint_that_was_given_up_fails_the_run_of_a_step_that_failed_and_no_other(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("no such report"))

    async def scenario() -> list[Any]:
        run = await engine.run()
        path, seen = run.path, []
        failed: dict[tuple[str, ...], Any] = {("status",): "running", ("error",): None, ("finished_at",): None}
        for epoch in (1, 0):
            await engine.documents.commit([Patch(path, failed)])  # as if the run's own commit had been lost
            await on_dead_letter(engine.services, given_up(run.run_id, "load_a", epoch))
            data = await engine.data(path)
            seen.append((data["status"], (data["error"] or {}).get("step_id")))
        return seen

    assert engine.run_scenario(scenario) == [("running", None), ("failed", "load_a")]


def test_a_hint_of_a_run_that_is_unknown_or_over_changes_nothing(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> list[str]:
        run = await half_done(engine)
        await cancel(engine.services, "acme", run.run_id)
        hinted = steps_hinted(engine)
        for run_id in (run.run_id, "run_unknown"):
            assert await on_dead_letter(engine.services, given_up(run_id, "extract_a")) == Ack()
        return hinted

    assert engine.run_scenario(scenario) == []


def test_a_hint_of_a_queue_that_was_given_up_is_no_dead_letter(engine: Engine) -> None:
    async def scenario() -> list[Any]:
        hints: list[Message] = []
        engine.bus.tap(QUEUE_CHANGED, hints.extend)
        await publish_queue_changed(engine.bus, "acme", "run_1")
        assert await on_dead_letter(engine.services, Delivery(hints[0], "m1", 1, DEAD_LETTER)) == Ack()
        return (await engine.documents.query("dead_letters", limit=5)).documents

    assert engine.run_scenario(scenario) == []


def test_what_cannot_be_read_is_kept_with_its_reason(engine: Engine) -> None:
    async def scenario() -> Any:
        message = Message(b'{"run_id": 7}', {"org": "acme", "schema_version": "1"})
        await on_step_ready(engine.services, Delivery(message, "m1", 1, STEP_READY))
        return (await engine.documents.query("dead_letters")).documents[0].data

    kept = engine.run_scenario(scenario)
    reason = kept["error"].pop("message")
    assert reason.startswith("not a step-ready message: ")
    assert kept.pop("created_at").startswith("2026-03-01T00:00:00")
    assert kept == {
        "org": "acme",
        "topic": STEP_READY,
        "error": {"code": "message.unreadable"},
        "data": base64.b64encode(b'{"run_id": 7}').decode(),
        "data_bytes": 13,
        "attributes": {"org": "acme", "schema_version": "1"},
    }


def test_a_dead_letter_is_announced_by_its_name_and_shown_with_all_that_is_known(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("no such report"))

    async def scenario() -> Any:
        run = await engine.run()
        (first,) = (await dead_letters(engine.services, Filter(org="acme")))["dead_letters"]
        engine.bus.detach()
        await replay(engine.services, "acme", run.run_id)
        (again,) = (await dead_letters(engine.services, Filter(org="acme")))["dead_letters"]
        return run, first, again

    run, first, again = engine.run_scenario(scenario)
    name = f"{run.run_id}.load_a.0"
    assert [orjson.loads(message.data) for message in engine.dead_letters] == [{"letter": name}]
    assert {**first, "created_at": ""} == {
        "letter_id": name,
        "org": "acme",
        "run_id": run.run_id,
        "step_id": "load_a",
        "ps_type": "generic.noop",
        "pipeline": "p/d/n",
        "epoch": 0,
        "attempts": 1,
        "code": "step.failed",
        "error_message": "generic.noop: no such report",
        "created_at": "",
        "replayed": False,
        "state": "open",
        "closed_at": None,
        "closed_by": None,
        "closed_reason": None,
    }
    assert again == first | {"replayed": True, "state": "replayed"}
