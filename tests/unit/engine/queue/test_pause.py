"""A paused pipeline: none of its runs starts, all of them say so, and they start when it is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import convergence.engine.dispatch as dispatching
from convergence.domain.status import RunStatus
from convergence.engine import pause as pauses
from convergence.engine.cancel import cancel
from convergence.engine.dispatch import dispatch
from convergence.engine.pause import pause_pipeline, resume_pipeline
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue import admit_next, enqueue, start_queued_run
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import PAUSED_LOOK_AGAIN_S
from convergence.engine.reconcile import reconcile
from convergence.engine.services import EngineSettings
from convergence.engine.views.runs import status as view
from convergence.errors import Denied, InvalidInput, NotFound, QuotaExceeded
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import end, queue_run, status
from tests.unit.engine.works import one

REQUEST = RunRequest(org="acme", pipeline="p/d/n", queue=True)


@pytest.fixture
def still(engine: Engine) -> Engine:
    """Return the engine with two pipelines; no message is delivered."""
    engine.pipeline(one())
    engine.pipeline(one().replace("pipeline_id: n", "pipeline_id: other"), "p/d/other")
    engine.bus.detach()
    return engine


def test_runs_of_a_paused_pipeline_wait_and_say_so_and_hold_up_no_other(still: Engine) -> None:
    async def scenario() -> None:
        services = still.services
        waiting = [await queue_run(still) for _ in range(2)]
        await pause_pipeline(services, "acme", "p/d/n", "figures are restated")
        other = await dispatch(services, RunRequest(org="acme", pipeline="p/d/other"))
        assert (await admission_pass(services)).runs == 0
        assert [await status(still, run) for run in (*waiting, other)] == [RunStatus.QUEUED] * 2 + [RunStatus.RUNNING]
        shown = await view(services, "acme", waiting[0].run_id)
        assert shown["waits_for"] == "the paused pipeline p/d/n: figures are restated"
        assert "ready" not in await still.data("org_queues/acme")
        await resume_pipeline(services, "acme", "p/d/n")
        assert (await view(services, "acme", waiting[0].run_id))["waits_for"] == "its turn in the queue"
        assert (await admission_pass(services)).runs == 2

    still.run_scenario(scenario)


def test_a_caller_is_refused_unless_the_run_may_wait(still: Engine) -> None:
    async def scenario() -> None:
        services = still.services
        await pause_pipeline(services, "acme", "p/d/n")
        with pytest.raises(Denied, match=r"the paused pipeline p/d/n; with queue=true a run waits in the queue"):
            await dispatch(services, RunRequest(org="acme", pipeline="p/d/n"))
        run = await dispatch(services, REQUEST)
        assert run.status is RunStatus.QUEUED
        await admission_pass(services)
        await cancel(services, "acme", run.run_id)
        assert await status(still, run) is RunStatus.CANCELLED

    still.run_scenario(scenario)


def test_a_pause_of_a_week_fails_no_run_and_its_time_is_not_waiting(still: Engine) -> None:
    async def scenario() -> None:
        services = still.services
        run = await queue_run(still)
        await pause_pipeline(services, "acme", "p/d/n")
        await admission_pass(services)
        for _ in range(7):
            await still.clock.sleep(86_400)
            await reconcile(services)
        assert await status(still, run) is RunStatus.QUEUED
        await resume_pipeline(services, "acme", "p/d/n")
        await still.clock.sleep(60)
        await reconcile(services)
        assert (await admission_pass(services)).runs == 1

    still.run_scenario(scenario)


def test_a_resume_that_died_halfway_is_made_up_for(still: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "_RELEASES_MAX", 0)

    async def scenario() -> None:
        services = still.services
        await queue_run(still)
        await pause_pipeline(services, "acme", "p/d/n")
        await admission_pass(services)
        await resume_pipeline(services, "acme", "p/d/n")
        assert (await admission_pass(services)).runs == 0
        await still.clock.sleep(PAUSED_LOOK_AGAIN_S)
        await reconcile(services)
        assert (await admission_pass(services)).runs == 1

    still.run_scenario(scenario)


def test_no_run_starts_after_a_pause_was_answered(still: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause comes while a pass is about to start the run: the pass has read the org before it."""

    async def paused_meanwhile(*given: Any) -> Any:
        found = await prepare(*given)
        monkeypatch.setattr(start_queued_run, "prepare", prepare)
        await pause_pipeline(still.services, "acme", "p/d/n")
        return found

    async def scenario() -> None:
        run = await queue_run(still)
        monkeypatch.setattr(start_queued_run, "prepare", paused_meanwhile)
        assert (await admission_pass(still.services)).runs == 0
        assert await status(still, run) is RunStatus.QUEUED

    still.run_scenario(scenario)


@pytest.mark.parametrize("trigger", ["manual", "anonymous"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_no_direct_start_passes_a_pause_that_was_answered(
    still: Engine, monkeypatch: pytest.MonkeyPatch, trigger: str, late: bool, known: bool
) -> None:
    """The pause comes when the start has read the org, or when it has read the usage too (`late`)."""
    name = "take_turn" if late else "check_turn"
    before: Any = vars(dispatching)[name]

    async def paused_meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(dispatching, name, before)
        await pause_pipeline(still.services, "acme", "p/d/n", "restated")
        return await before(*given)

    async def scenario() -> None:
        if known:  # the org had runs before: its usage is there
            await dispatch(still.services, replace(REQUEST, pipeline="p/d/other", trigger=trigger))
        monkeypatch.setattr(dispatching, name, paused_meanwhile)
        with pytest.raises(
            Denied, match="the paused pipeline p/d/n: restated; with queue=true a run waits in the queue"
        ):
            await dispatch(still.services, replace(REQUEST, queue=False, trigger=trigger))
        runs = (await still.documents.query("runs")).documents
        assert [run.data["pipeline"] for run in runs] == ["p/d/other"] * known
        waits = await dispatch(still.services, replace(REQUEST, trigger=trigger))
        assert await status(still, waits) is RunStatus.QUEUED
        await resume_pipeline(still.services, "acme", "p/d/n")
        run = await dispatch(still.services, replace(REQUEST, queue=False, trigger=trigger))
        assert await status(still, run) is RunStatus.RUNNING

    still.run_scenario(scenario)


def test_a_pause_survives_the_starts_and_ends_of_other_pipelines(still: Engine) -> None:
    async def scenario() -> None:
        await pause_pipeline(still.services, "acme", "p/d/n", "restated")
        other = await dispatch(still.services, replace(REQUEST, pipeline="p/d/other"))
        assert (await still.data("orgs/acme/usage/current"))["paused"] == {"p/d/n": "restated"}
        await end(still, other.run_id)
        usage = await still.data("orgs/acme/usage/current")
        assert (usage["paused"], usage["active"]) == ({"p/d/n": "restated"}, {})

    still.run_scenario(scenario)


def test_no_run_is_set_aside_after_its_pause_has_ended(still: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for minutes for a resume that has been."""
    hold = enqueue.hold

    async def resumed_meanwhile(*given: Any) -> None:
        monkeypatch.setattr(admit_next, "hold", hold)
        await resume_pipeline(still.services, "acme", "p/d/n")
        await hold(*given)

    monkeypatch.setattr(admit_next, "hold", resumed_meanwhile)

    async def scenario() -> None:
        await queue_run(still)
        await pause_pipeline(still.services, "acme", "p/d/n")
        assert (await admission_pass(still.services)).runs == 1

    still.run_scenario(scenario)


def test_what_waits_for_a_resume_is_bounded_too(still: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueue, "WAITING_MAX", 2)

    async def scenario() -> None:
        await pause_pipeline(still.services, "acme", "p/d/n")
        for _ in range(2):
            await dispatch(still.services, REQUEST)
            await admission_pass(still.services)
        with pytest.raises(QuotaExceeded, match="2 runs in its queue"):
            await dispatch(still.services, REQUEST)

    still.run_scenario(scenario)


def test_what_cannot_be_paused_or_resumed_is_refused(still: Engine) -> None:
    async def scenario() -> None:
        with pytest.raises(NotFound):
            await pause_pipeline(still.services, "acme", "p/d/unknown")
        with pytest.raises(NotFound):
            await pause_pipeline(still.services, "unknown", "p/d/n")
        with pytest.raises(InvalidInput, match="at most 200 characters"):
            await pause_pipeline(still.services, "acme", "p/d/n", "x" * 201)
        with pytest.raises(InvalidInput, match="p/d/n is not paused for acme"):
            await resume_pipeline(still.services, "acme", "p/d/n")

    still.run_scenario(scenario)


def test_a_queued_run_names_what_it_waits_for(still: Engine) -> None:
    async def scenario() -> None:
        await still.org("small", concurrent=1)
        first, second = await queue_run(still, "small"), await queue_run(still, "small")
        await admission_pass(still.services)
        assert "Concurrent pipeline limit (1)" in str((await view(still.services, "small", second.run_id))["waits_for"])
        await end(still, first.run_id)
        assert (await view(still.services, "small", second.run_id))["waits_for"] == "its turn in the queue"

    still.run_scenario(scenario)


def test_a_queued_run_names_a_cap_that_holds_up_all(tmp_path: Path) -> None:
    capped = Engine(tmp_path, EngineSettings(runs_max=1))
    capped.pipeline(one())
    capped.bus.detach()

    async def scenario() -> None:
        await capped.org("other")
        await queue_run(capped)
        second = await queue_run(capped, "other")
        assert (await admission_pass(capped.services)).runs == 1
        assert (await view(capped.services, "other", second.run_id))["waits_for"] == "a free place in global"

    capped.run_scenario(scenario)
