"""What was lost, broken or left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.reconcile import reconcile
from convergence.engine.step.run_step import on_step_ready
from convergence.errors import Transient
from convergence.ports.bus import DEAD_LETTER, STEP_READY, Ack, Delivery, Message
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"null", b'{"v":"1"}', b'{"v":"2","run_id":"a","step_id":"b","epoch":0}',
     b'{"v":"1","run_id":"a/b","step_id":"b","epoch":0}', b'{"v":"1","run_id":"a","step_id":"b","epoch":true}'],
)  # fmt: skip
def test_a_message_that_is_not_ours_is_kept_as_it_came(engine: Engine, data: bytes) -> None:
    async def scenario() -> None:
        for handler, topic in ((on_step_ready, STEP_READY), (on_dead_letter, DEAD_LETTER)):
            answer = await handler(engine.services, Delivery(Message(data), "m1", 1, topic))
            assert answer == Ack()
        kept = (await engine.documents.query("dead_letters")).documents  # each topic's message has its own
        assert [dead_letter.data["error"]["code"] for dead_letter in kept] == ["message.unreadable"] * 2

    engine.run_scenario(scenario)


def test_a_reconciler_pass_that_fails_is_not_the_last(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(TWO)
    refusals = iter([Transient("away"), ValueError("broken")])
    query = engine.documents.query

    async def sometimes(*arguments: Any, **options: Any) -> Any:
        error = next(refusals, None) if engine.loop.now_s > 1 else None
        if error is not None:
            raise error
        return await query(*arguments, **options)

    async def scenario() -> Any:
        subscriptions = engine.bus.detach()
        await engine.worker.start()
        monkeypatch.setattr(engine.documents, "query", sometimes)
        engine.bus.detach()
        run = await engine.start()
        engine.bus.attach(subscriptions)
        return await engine.worker.wait("acme", run.run_id, with_end_steps=False)

    assert engine.run_scenario(scenario).status == "completed"


def test_staged_rows_are_swept_at_a_start_only_when_no_run_needs_them(engine: Engine) -> None:
    engine.pipeline(TWO)
    swept: list[str] = []

    async def scenario() -> None:
        engine.bus.detach()
        run = await engine.start()
        worker = LocalWorker(engine.services, engine.bus, sweep=lambda: swept.append("now"))
        await worker.start()
        assert swept == []
        assert (await worker.wait("acme", run.run_id)).status == "completed"
        await worker.close()
        await LocalWorker(engine.services, engine.bus, sweep=lambda: swept.append("now")).start()

    engine.run_scenario(scenario)
    assert swept == ["now"]


def test_waiting_ends_when_nothing_can_be_written_and_the_run_is_kept(engine: Engine) -> None:
    engine.pipeline(TWO)
    troubles = ["state could not be written: disk full"]

    async def trouble() -> str | None:
        return troubles[0] if troubles else None

    async def scenario() -> Any:
        subscriptions = engine.bus.detach()
        run = await engine.start()
        services = replace(engine.services, trouble=trouble)
        engine.worker = LocalWorker(services, engine.bus)
        engine.bus.detach()
        await engine.worker.start()
        before = engine.clock.now()
        with pytest.raises(Transient, match=r"state could not be written: disk full\. The run is kept"):
            await engine.worker.wait("acme", run.run_id)
        assert 10 <= (engine.clock.now() - before).total_seconds() < 20
        troubles.clear()
        engine.bus.attach(subscriptions)
        return await engine.worker.wait("acme", run.run_id)

    assert engine.run_scenario(scenario).status == "completed"


def test_a_start_does_not_wait_for_what_was_left(engine: Engine) -> None:
    engine.pipeline(TWO)
    sent: list[Message] = []

    async def scenario() -> None:
        engine.bus.detach()  # nothing is worked on
        for _ in range(3):
            await engine.start()
        engine.bus.tap(STEP_READY, sent.extend)
        assert await engine.worker.start() == 3
        assert sent == []
        await engine.clock.sleep(1)
        assert len(sent) == 3

    engine.run_scenario(scenario)


def test_what_the_bus_lost_is_sent_again(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        run = await engine.start()
        engine.bus.detach()  # every message from here on is lost
        await engine.clock.sleep(61)
        engine.worker = type(engine.worker)(engine.services, engine.bus)
        assert await reconcile(engine.services) == 1
        return await engine.worker.wait("acme", run.run_id, with_end_steps=False)

    assert engine.run_scenario(scenario).status == "completed"
