"""Many dead letters are discarded by a filter: counted first, each once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from convergence.domain.dead_letter import DeadLetterState
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.dead_letters import discards
from convergence.engine.dead_letters.act import discard, replay_dead_letter, send_again
from convergence.engine.dead_letters.discards import discard_all, plan_discards
from convergence.engine.dead_letters.find import Filter, find
from convergence.engine.replay import replay
from convergence.engine.views.dead_letter_discards import discards_plan_view
from convergence.errors import Conflict, InvalidInput, StepFailed
from convergence.ports.bus import DISPATCH, Delivery, Message
from convergence.ports.documents import Delete, Write
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing


async def letters(engine: Engine, state: DeadLetterState, org: str | None = None) -> set[str]:
    found = await find(engine.services, Filter(org=org, state=state), limit=500)
    return {letter.letter_id for letter, _ in found.found}


async def failures(engine: Engine, count: int, org: str = "acme") -> list[str]:
    """Let runs fail; return their dead letters."""
    runs = []
    for _ in range(count):
        runs.append(await engine.run(org=org))
        await engine.clock.sleep(1)
    return [f"{run.run_id}.load_b.0" for run in runs]


@pytest.fixture
def broken(engine: Engine) -> Engine:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("no"))
    return engine


def test_a_dry_run_counts_and_a_discard_closes_what_was_counted_and_no_other(broken: Engine) -> None:
    async def scenario() -> None:
        services = broken.services
        await broken.org("umbrella")
        mine, theirs = await failures(broken, 3), await failures(broken, 2, "umbrella")
        message = Delivery(Message(b"?", {}), "m1", 1, DISPATCH)
        await keep_unreadable(services, message, "not ours")
        await broken.clock.sleep(1)
        found = await plan_discards(services, Filter(), reason="old")
        assert discards_plan_view(found)["text"] == "6 dead letters of 3 orgs (5 runs, 1 message)"
        assert [count for _, count in found.causes] == [5, 1]
        own = discards_plan_view(await plan_discards(services, Filter(org="acme", step_id="load_b"), reason="old"))
        assert (own["text"], own["complete"]) == ("3 dead letters (3 runs)", True)
        assert len(await letters(broken, DeadLetterState.OPEN)) == 6, "nothing was stored"

        done = await discard_all(services, Filter(org="acme"), reason="never had these", by="k1")
        assert (done.dead_letters, done.cursor) == (3, None)
        assert await letters(broken, DeadLetterState.DISCARDED) == set(mine)
        assert set(theirs) < await letters(broken, DeadLetterState.OPEN)
        closed = (await broken.data(f"dead_letters/{mine[0]}"))["closed"]
        assert (closed["state"], closed["by"], closed["reason"]) == ("discarded", "k1", "never had these")
        assert (await broken.data(f"dead_letters/{mine[0]}"))["expire_at"], "retention removes it"
        assert (await discard_all(services, Filter(org="acme"), reason="again", by="k1")).dead_letters == 0

    broken.run_scenario(scenario)


def test_a_replayed_run_and_a_dead_letter_that_comes_meanwhile_are_left(broken: Engine) -> None:
    async def scenario() -> None:
        replayed, other = await failures(broken, 2)
        broken.bus.detach()
        await replay(broken.services, "acme", replayed.split(".")[0])
        commit = broken.documents.commit

        async def slow(writes: Sequence[Write]) -> list[int]:
            broken.documents.commit = commit  # type: ignore[method-assign]
            message = Delivery(Message(b"late", {}), "m2", 1, DISPATCH)
            await keep_unreadable(broken.services, message, "came meanwhile")
            return await commit(writes)

        broken.documents.commit = slow  # type: ignore[method-assign]
        assert (await discard_all(broken.services, Filter(), reason="old", by="k1")).dead_letters == 1
        assert await letters(broken, DeadLetterState.DISCARDED) == {other}
        assert await letters(broken, DeadLetterState.REPLAYED) == {replayed}
        assert len(await letters(broken, DeadLetterState.OPEN)) == 1

    broken.run_scenario(scenario)


@pytest.mark.parametrize("count", [1, 3])
def test_a_run_that_is_replayed_just_before_the_commit_is_left(broken: Engine, count: int) -> None:
    async def scenario() -> None:
        first, *others = await failures(broken, count)
        broken.bus.detach()
        commit = broken.documents.commit

        async def after_a_replay(writes: Sequence[Write]) -> list[int]:
            broken.documents.commit = commit  # type: ignore[method-assign]
            await replay(broken.services, "acme", first.split(".")[0])
            return await commit(writes)

        broken.documents.commit = after_a_replay  # type: ignore[method-assign]
        assert (await discard_all(broken.services, Filter(), reason="old", by="k1")).dead_letters == count - 1
        assert await letters(broken, DeadLetterState.REPLAYED) == {first}
        assert await letters(broken, DeadLetterState.DISCARDED) == set(others)

    broken.run_scenario(scenario)


def test_one_whose_run_is_replayed_just_before_the_commit_is_refused(broken: Engine) -> None:
    async def scenario() -> None:
        (letter,) = await failures(broken, 1)
        broken.bus.detach()
        commit = broken.documents.commit

        async def after_a_replay(writes: Sequence[Write]) -> list[int]:
            broken.documents.commit = commit  # type: ignore[method-assign]
            await replay(broken.services, "acme", letter.split(".")[0])
            return await commit(writes)

        broken.documents.commit = after_a_replay  # type: ignore[method-assign]
        with pytest.raises(InvalidInput, match=r"was replayed already; run .* is running"):
            await discard(broken.services, "acme", letter, reason="old", by="k1")
        assert await letters(broken, DeadLetterState.REPLAYED) == {letter}

    broken.run_scenario(scenario)


@pytest.mark.parametrize(
    ("closes_first", "reason"),
    [(discard, "a stray one"), (send_again, "sent again to dispatch")],
)
def test_a_message_whose_dead_letter_is_closed_while_it_is_sent_leaves_it_as_it_was_closed(
    engine: Engine, closes_first: Any, reason: str
) -> None:
    async def scenario() -> None:
        engine.bus.detach()
        await keep_unreadable(engine.services, Delivery(Message(b"{}"), "m1", 1, DISPATCH), "not JSON")
        (letter,) = await letters(engine, DeadLetterState.OPEN)
        publish = engine.bus.publish

        async def while_another_closes_it(topic: str, messages: Sequence[Message]) -> None:
            engine.bus.publish = publish  # type: ignore[method-assign]
            more = {"reason": reason} if closes_first is discard else {}
            await closes_first(engine.services, None, letter, by="first", **more)
            await publish(topic, messages)

        engine.bus.publish = while_another_closes_it  # type: ignore[method-assign]
        with pytest.raises(Conflict, match=rf"was sent again to dispatch, but .* by another caller .*: {reason}"):
            await send_again(engine.services, None, letter, by="second")
        closed = (await engine.data(f"dead_letters/{letter}"))["closed"]
        assert (closed["by"], closed["reason"]) == ("first", reason)

    engine.run_scenario(scenario)


def test_a_dead_letter_replays_the_failure_that_it_is_about_and_no_later_one(broken: Engine) -> None:
    async def scenario() -> None:
        (letter,) = await failures(broken, 1)
        run_id, commit = letter.split(".")[0], broken.documents.commit

        async def after_a_replay_that_fails(writes: Sequence[Write]) -> list[int]:
            broken.documents.commit = commit  # type: ignore[method-assign]
            await replay(broken.services, "acme", run_id)
            await broken.worker.wait("acme", run_id)
            return await commit(writes)

        broken.documents.commit = after_a_replay_that_fails  # type: ignore[method-assign]
        with pytest.raises(InvalidInput, match=r"was replayed already; run .* is failed"):
            await replay_dead_letter(broken.services, "acme", letter)
        assert (await broken.data(f"runs/{run_id}"))["epoch"] == 1

    broken.run_scenario(scenario)


def test_after_a_kill_it_is_called_again_and_one_that_was_removed_holds_up_no_other(
    broken: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discards, "TOGETHER_MAX", 2)

    async def scenario() -> None:
        every = await failures(broken, 5)
        commit, calls = broken.documents.commit, []

        async def dying(writes: Sequence[Write]) -> list[int]:
            calls.append(len(writes))
            if len(calls) == 2:
                raise RuntimeError("the process died")
            return await commit(writes)

        broken.documents.commit = dying  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await discard_all(broken.services, Filter(), reason="old", by="k1")
        assert len(await letters(broken, DeadLetterState.DISCARDED)) == 2

        async def removing(writes: Sequence[Write]) -> list[int]:
            broken.documents.commit = commit  # type: ignore[method-assign]
            await commit([Delete(writes[0].path)])
            return await commit(writes)

        broken.documents.commit = removing  # type: ignore[method-assign]
        assert (await discard_all(broken.services, Filter(), reason="old", by="k1")).dead_letters == 2
        assert not await letters(broken, DeadLetterState.OPEN)
        assert len(await letters(broken, DeadLetterState.DISCARDED)) == len(every) - 1

    broken.run_scenario(scenario)


def test_one_call_looks_at_a_bounded_number_and_its_cursor_leads_on(
    broken: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convergence.engine.dead_letters.find.PAGE_MAX", 2)
    monkeypatch.setattr(discards, "LOOKED_AT_MAX", 2)

    async def scenario() -> None:
        await failures(broken, 5)
        cursor: str | None = None
        counts = []
        for _ in range(3):
            done = await discard_all(broken.services, Filter(), reason="old", by="k1", cursor=cursor)
            counts.append(done.dead_letters)
            cursor = done.cursor
        assert (counts, cursor) == ([2, 2, 1], None)

    broken.run_scenario(scenario)


@pytest.mark.parametrize("act", [plan_discards, lambda *given, **more: discard_all(*given, **more, by="k1")])
@pytest.mark.parametrize("reason", ["", " ", "x" * 1_001])
def test_a_reason_says_something_briefly(broken: Engine, act: Any, reason: str) -> None:
    async def scenario() -> None:
        (letter,) = await failures(broken, 1)
        with pytest.raises(InvalidInput, match="the reason must have"):
            await act(broken.services, Filter(), reason=reason)
        assert await letters(broken, DeadLetterState.OPEN) == {letter}

    broken.run_scenario(scenario)
