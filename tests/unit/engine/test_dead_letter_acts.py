"""What acting on dead letters leaves behind: messages as they were sent, requests that end, causes by number."""

from __future__ import annotations

import pytest

from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import ReplayStatus
from convergence.engine.dead_letter import keep_unreadable, on_dead_letter
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.act import discard, replay_dead_letter, send_again
from convergence.engine.dead_letters.discards import plan_discards
from convergence.engine.dead_letters.feed_replays import feed_replays, feed_replays_due
from convergence.engine.dead_letters.find import Filter
from convergence.engine.messages import QueueChanged
from convergence.engine.views.dead_letter_discards import discards_plan_view
from convergence.engine.views.dead_letter_replays import plan_view
from convergence.engine.views.dead_letters import dead_letters
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.bus import DEAD_LETTER, DISPATCH, QUEUE_CHANGED, Ack, Delivery, Message
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.dead_letter_outage import DAYS, Source, epoch, outage, request, to_its_end
from tests.unit.engine.works import TWO, failing, one


@pytest.fixture
def source(engine: Engine) -> Source:
    engine.pipeline(DAYS)
    return Source(engine)


async def latest(engine: Engine) -> str:
    """Return the id of the latest dead letter."""
    return (await dead_letters(engine.services, Filter()))["dead_letters"][0]["letter_id"]


def test_a_message_is_sent_again_with_its_senders_attributes_and_without_the_buss(engine: Engine) -> None:
    async def scenario() -> None:
        sent: list[Message] = []
        engine.bus.detach()
        engine.bus.tap(DISPATCH, sent.extend)
        attributes = {"org": "acme", "kind": "dispatch", "CloudPubSubDeadLetterSourceDeliveryCount": "5"}
        await keep_unreadable(engine.services, Delivery(Message(b"{}", attributes), "m1", 1, DISPATCH), "wrong")
        after = await send_again(engine.services, "acme", await latest(engine), by="key_1")
        assert sent == [Message(b"{}", {"org": "acme", "kind": "dispatch"})]
        assert after.closed is not None
        assert (after.closed.state, after.closed.by) == (DeadLetterState.SENT, "key_1")

    engine.run_scenario(scenario)


def test_a_message_without_an_org_is_kept_and_says_what_is_wrong_with_it(engine: Engine) -> None:
    async def scenario() -> None:
        assert await on_dead_letter(engine.services, Delivery(Message(b"?", {}), "m1", 1, DEAD_LETTER)) == Ack()
        (found,) = (await dead_letters(engine.services, Filter()))["dead_letters"]
        assert (found["org"], found["run_id"]) == ("", None)
        assert found["error_message"].startswith("not a step-ready message: ")

    engine.run_scenario(scenario)


def test_a_closed_dead_letter_says_who_closed_it_and_why(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("no"))

    async def scenario() -> None:
        await engine.run()
        await discard(engine.services, "acme", await latest(engine), reason="known", by="key_1")
        (found,) = (await dead_letters(engine.services, Filter(org="acme")))["dead_letters"]
        assert (found["state"], found["closed_by"], found["closed_reason"]) == ("discarded", "key_1", "known")
        assert found["closed_at"] is not None
        nothing = await plan_discards(engine.services, Filter(org="acme"), reason="old")
        assert discards_plan_view(nothing)["text"] == "0 dead letters"

    engine.run_scenario(scenario)


def test_the_failure_of_a_step_is_the_reason_of_its_runs_end(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("no"))

    async def scenario() -> None:
        assert (await engine.run()).transitions[-1][2] == "step load_b failed"

    engine.run_scenario(scenario)


def test_a_run_that_is_started_late_is_hinted_at_as_queued_and_not_as_ended(engine: Engine) -> None:
    engine.pipeline("then: {on_success: [p/d/gone]}\n" + one())
    engine.pipeline(one(), "p/d/gone")

    async def scenario() -> None:
        run = await engine.start()
        del engine.pipelines.loaded["p/d/gone"]
        await engine.worker.start()
        await engine.worker.wait("acme", run.run_id)
        engine.pipeline(one(), "p/d/gone")
        engine.bus.detach()
        hints: list[Message] = []
        engine.bus.tap(QUEUE_CHANGED, hints.extend)
        await replay_dead_letter(engine.services, "acme", await latest(engine))
        assert [QueueChanged.decode(each.data) for each in hints] == [QueueChanged("acme")]

    engine.run_scenario(scenario)


def test_the_causes_of_a_plan_begin_with_the_most_frequent(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await outage(engine, 2)
        engine.works["extract_a"] = failing(StepFailed("no"))
        await engine.run(idempotency_key="the latest, so the first that is found")
        plan = plan_view(await replays.plan(engine.services, request()))
        assert [(each["step_id"], each["count"]) for each in plan["causes"]] == [("load_b", 2), ("extract_a", 1)]

    engine.run_scenario(scenario)


def test_a_replay_of_one_steps_failures_leaves_those_of_others(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        mine = await outage(engine, 2)
        engine.works["extract_a"] = failing(StepFailed("no"), times=1)
        other = await engine.run(idempotency_key="other")
        source.away = False
        await engine.clock.sleep(1)
        done = await to_its_end(engine, await replays.create(engine.services, request(step_id="load_b")))
        assert (done.status, done.completed) == (ReplayStatus.DONE, 2)
        assert [await epoch(engine, run) for run in (*mine, other)] == [1, 1, 0]

    engine.run_scenario(scenario)


def test_a_replay_whose_only_run_is_refused_is_over_and_is_not_looked_at_again(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        (run,) = await outage(engine, 1)
        await engine.documents.commit([Patch(run.path, {("removing",): True})])
        made = await replays.create(engine.services, request())
        after = await feed_replays(engine.services, made.replay_id)
        assert after is not None
        assert (after.status, after.refused, after.next_check_at) == (ReplayStatus.STOPPED, 1, None)
        await engine.clock.sleep(60)
        assert await feed_replays_due(engine.services) == 0

    engine.run_scenario(scenario)


def test_a_paused_replay_says_so_and_goes_on_when_it_is_resumed(engine: Engine, source: Source) -> None:
    async def scenario() -> None:
        await outage(engine, 2)
        source.away = False
        made = await replays.create(engine.services, request())
        assert (await replays.pause(engine.services, "acme", made.replay_id)).status is ReplayStatus.PAUSED
        with pytest.raises(InvalidInput, match="is paused already"):
            await replays.pause(engine.services, "acme", made.replay_id)
        await replays.resume(engine.services, "acme", made.replay_id)
        assert (await to_its_end(engine, made)).completed == 2

    engine.run_scenario(scenario)
