"""Runs from dispatch to their end, on the embedded adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from convergence.adapters.local.worker import LocalWorker
from convergence.engine.cancel import cancel
from convergence.engine.dead_letter import on_dead_letter
from convergence.engine.dispatch import RunRequest, prepare
from convergence.engine.messages import StepReady
from convergence.engine.reconcile import reconcile
from convergence.engine.replay import replay, replay_letter
from convergence.engine.run_step import on_step_ready
from convergence.errors import InvalidInput, NotFound, QuotaExceeded, StepFailed, Throttled, Transient
from convergence.ports.bus import DEAD_LETTER, STEP_READY, Ack, Delivery, Message
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine

TWO = """
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a}
"""


def one(**fields: Any) -> str:
    step = {"step_id": "load_a", "ps_type": "generic.noop", **fields}
    return "steps: " + orjson.dumps([step]).decode()


def failing(error: Exception, times: int = 99) -> Any:
    calls = iter(range(times))

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if next(calls, None) is not None:
            raise error
        return {"status": "SUCCESS"}

    return work


def returning(result: Any) -> Any:
    async def work(step_config: Mapping[str, Any], context: Context) -> Any:
        return result

    return work


def test_steps_run_in_order_and_their_rows_add_up(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = returning({"status": "SUCCESS", "rows_processed": 5, "rows_written": 4})
    engine.works["load_b"] = returning({"status": "COMPLETED", "rows_processed": 2})
    run = engine.live(engine.run)
    assert (run.status, engine.started) == ("completed", ["extract_a", "load_b"])
    assert run.totals == {"rows_processed": 7, "rows_written": 4}
    assert [to for _, to, _ in run.transitions] == ["validating", "running", "completed"]


def test_results_of_dependencies_are_seen_and_fill_templates(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a, config: {text: "{results.extract_a.name}!"}}
""")
    seen: dict[str, Any] = {}

    async def look(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.update(text=step_config["config"]["text"], flat=context["name"], results=dict(context.results))
        return {"status": "SUCCESS"}

    engine.works |= {"extract_a": returning({"status": "SUCCESS", "name": "x"}), "load_b": look}
    engine.live(engine.run)
    assert seen["text"] == "x!"
    assert seen["flat"] == "x"
    assert set(seen["results"]) == {"extract_a"}


def test_a_false_condition_skips_the_step_and_lets_the_next_go_on(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a, when: results.extract_a.rows_written > 0}
  - {step_id: load_c, ps_type: generic.noop, depends_on: load_b}
""")
    engine.works["extract_a"] = returning({"status": "SUCCESS", "rows_written": 0})

    async def story() -> Any:
        run = await engine.run()
        return run, await engine.data(f"runs/{run.run_id}/steps/load_b")

    run, skipped = engine.live(story)
    assert (run.status, engine.started) == ("completed", ["extract_a", "load_c"])
    assert skipped["status"] == "skipped"
    assert "condition is false" in skipped["transitions"][-1][2]


def test_a_retryable_failure_is_tried_again_after_its_backoff(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 100}))
    engine.works["load_a"] = failing(Transient("away"), times=2)
    run = engine.live(engine.run)
    assert (run.status, len(engine.started)) == ("completed", 3)
    assert 150 <= engine.loop.now_s <= 400


def test_a_provider_that_says_when_is_not_asked_before(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 2, "backoff_seconds": 1}))
    engine.works["load_a"] = failing(Throttled("slow down", retry_after_s=45), times=1)
    assert engine.live(engine.run).status == "completed"
    assert engine.loop.now_s >= 45


@pytest.mark.parametrize(
    ("work", "code", "message"),
    [
        (failing(StepFailed("no such table")), "step.failed", "generic.noop: no such table"),
        (failing(Transient("away")), "transient", "generic.noop: away"),
        (failing(ValueError("bad")), "step.crashed", "generic.noop: ValueError: bad"),
        (returning({"status": "FAILED", "error": "as I said"}), "step.failed", "as I said"),
        (returning({"status": "DONE"}), "step.bad_result", "answered status 'DONE'; use SUCCESS"),
        (returning(None), "step.bad_result", "returned NoneType, not a mapping"),
        (returning({"status": "SUCCESS", "x": {1, 2}}), "step.bad_result", "not JSON"),
        (returning({"status": "SUCCESS", "x": "y" * 70_000}), "step.bad_result", "a result holds 65536"),
    ],
)
def test_a_final_failure_fails_the_run_and_leaves_one_letter(
    engine: Engine, work: Any, code: str, message: str
) -> None:
    engine.pipeline(one() + "\n")
    engine.works["load_a"] = work

    async def story() -> Any:
        run = await engine.run()
        letters = await engine.documents.query("dead_letters")
        usage = await engine.data("orgs/acme/usage/current")
        return run, letters.documents, usage

    run, letters, usage = engine.live(story)
    assert (run.status, run.error["code"], run.error["step_id"]) == ("failed", code, "load_a")
    assert message in run.error["message"]
    assert [(letter.data["step_id"], letter.data["error"]["code"]) for letter in letters] == [("load_a", code)]
    assert usage["active"] == {}


def test_a_step_that_lacks_a_piece_of_the_orgs_profile_fails_alone_and_says_so(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a, config: {table: "{billing_export_table}"}}
""")
    run = engine.live(engine.run)
    assert (run.status, run.error["code"], engine.started) == ("failed", "step.broken", ["extract_a"])
    assert "billing_export_table" in run.error["message"]


def test_a_failure_that_is_tolerated_is_a_warning(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop, on_failure: continue}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a}
""")
    engine.works["extract_a"] = failing(StepFailed("broken"))
    run = engine.live(engine.run)
    assert (run.status, run.warnings) == ("completed", ("extract_a: generic.noop: broken",))


def test_a_step_that_goes_on_in_slices_keeps_checkpoint_and_rows(engine: Engine) -> None:
    engine.pipeline(one())

    async def sliced(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        piece = context.checkpoint or 0
        stage = context.warehouse.stage("t")
        await stage.write(0, [{"n": piece}])
        if piece < 3:
            return {"status": "CONTINUE", "checkpoint": piece + 1}
        loaded = await context.warehouse.load(stage, dates=[context.start_date])
        return {"status": "SUCCESS", "rows_written": loaded.rows_loaded}

    engine.works["load_a"] = sliced
    run = engine.live(engine.run)
    assert (run.status, run.totals["rows_written"]) == ("completed", 4)
    (rows,) = engine.warehouse.slices.values()
    assert [row["n"] for row in rows] == [0, 1, 2, 3]


def test_a_step_over_its_time_is_stopped(engine: Engine) -> None:
    engine.pipeline(one(timeout_seconds=30))

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(10_000)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = endless
    run = engine.live(engine.run)
    assert run.error["message"] == "generic.noop: timed out after 30s (the step's timeout)"
    assert engine.loop.now_s < 60


def test_a_run_over_its_deadline_fails_with_a_letter_of_its_own(engine: Engine) -> None:
    engine.pipeline("timeout_minutes: 1\n" + one(retry={"max_attempts": 9, "backoff_seconds": 600}))
    engine.works["load_a"] = failing(Transient("away"))

    async def story() -> Any:
        run = await engine.start()
        await engine.worker.start()
        return await engine.worker.wait("acme", run.run_id), await engine.documents.query("dead_letters")

    run, letters = engine.live(story)
    assert run.error["code"] == "run.timeout"
    assert run.error["message"].startswith("Pipeline execution timed out after 60s")
    assert [letter.data["step_id"] for letter in letters.documents] == ["_run"]


def test_cancel_reaches_a_running_processor_and_wakes_nobody(engine: Engine) -> None:
    engine.pipeline(TWO)
    stopped: list[float] = []

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        try:
            await context.sleep(300)
        finally:
            stopped.append(engine.loop.now_s)
        return {"status": "SUCCESS"}

    engine.works["extract_a"] = endless

    async def story() -> Any:
        run = await engine.start()
        await engine.clock.sleep(5)
        cancelled = await cancel(engine.services, "acme", run.run_id)
        await engine.bus.idle()
        return cancelled, await engine.data(f"runs/{run.run_id}/steps/extract_a")

    run, step = engine.live(story)
    assert (run.status, engine.started, stopped) == ("cancelled", ["extract_a"], [5.0])
    assert (step["status"], step["lease_until"]) == ("retrying", None)


def test_a_long_step_renews_its_lease(engine: Engine) -> None:
    engine.pipeline(one(timeout_minutes=30) + "\ntimeout_minutes: 60\n")

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(400)
        stage = context.warehouse.stage("t")
        await stage.write(0, [{"n": 1}])
        return {"status": "SUCCESS"}

    engine.works["load_a"] = slow

    assert engine.live(engine.run).status == "completed"
    assert engine.started == ["load_a"]


def test_handlers_run_once_after_the_end_and_never_change_it(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: load_a, ps_type: generic.noop}
  - step_id: notify_bad
    ps_type: generic.noop
    trigger: on_failure
    config: {text: "{status}: {error_message} in {failed_step}, {records_processed} rows"}
  - {step_id: notify_good, ps_type: generic.noop, trigger: on_success}
  - {step_id: notify_all, ps_type: generic.noop, trigger: on_completion}
""")
    seen: list[str] = []

    async def tell(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append(step_config["config"]["text"])
        return {"status": "SUCCESS"}

    engine.works |= {"load_a": failing(StepFailed("x")), "notify_bad": tell, "notify_all": failing(StepFailed("mail"))}
    run = engine.live(engine.run)
    assert run.status == "failed"
    assert sorted(engine.started) == ["load_a", "notify_all", "notify_bad"]
    assert seen == ["failed: generic.noop: x in load_a, 0 rows"]


def test_an_idempotency_key_gives_the_same_run_and_refuses_another_request(engine: Engine) -> None:
    engine.pipeline(one())

    async def story() -> None:
        first = await engine.run(idempotency_key="k")
        assert (await engine.start(idempotency_key="k")).run_id == first.run_id
        with pytest.raises(InvalidInput, match="asked for something else"):
            await engine.start(idempotency_key="k", parameters={"date": "2026-01-01"})

    engine.live(story)
    assert engine.started == ["load_a"]


def test_limits_of_the_org_refuse_before_anything_is_stored(engine: Engine) -> None:
    engine.pipeline(one())

    async def story() -> None:
        await engine.org("small", daily=1)
        await engine.run(org="small")
        with pytest.raises(QuotaExceeded, match=r"Daily pipeline limit \(1\) reached"):
            await engine.start(org="small")
        assert await engine.documents.count("runs") == 1

    engine.live(story)


def test_of_many_callers_exactly_one_gets_the_last_slot(engine: Engine) -> None:
    engine.pipeline(one())

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(300)
        return {"status": "SUCCESS"}

    async def story() -> None:
        await engine.org("small", concurrent=1)
        engine.works["load_a"] = slow
        asked = [engine.start(org="small") for _ in range(64)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1
        assert sum(isinstance(answer, QuotaExceeded) for answer in answers) == 63

    engine.live(story)


def test_run_once_runs_once_until_it_is_forced(engine: Engine) -> None:
    engine.pipeline("execution: {run_once: true, force_param: again}\nparameters: {again: {type: boolean}}\n" + one())

    async def story() -> None:
        await engine.run()
        with pytest.raises(InvalidInput, match=r"runs once, and run .* completed it; to run it again pass again=true"):
            await engine.start()
        assert (await engine.run(parameters={"again": True})).status == "completed"

    engine.live(story)


def test_a_dry_run_stores_nothing(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def story() -> None:
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
        assert [step.step_id for step in prepared.plan.steps] == ["extract_a", "load_b"]
        assert await engine.documents.count("runs") == 0

    engine.live(story)


def test_unknown_names_are_refused(engine: Engine) -> None:
    async def story() -> None:
        with pytest.raises(NotFound, match="Unknown org: 'nobody'"):
            await engine.start(org="nobody")
        with pytest.raises(NotFound, match="Pipeline not found"):
            await engine.start("p/d/other")

    engine.live(story)


def test_replay_goes_on_where_the_run_failed(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def story() -> Any:
        run = await engine.run()
        (letter,) = (await engine.documents.query("dead_letters")).documents
        letter_id = letter.path.rpartition("/")[2]
        await replay_letter(engine.services, "acme", letter_id)
        ended = await engine.worker.wait("acme", run.run_id)
        with pytest.raises(InvalidInput, match="was replayed already"):
            await replay_letter(engine.services, "acme", letter_id)
        with pytest.raises(InvalidInput, match="only failed and cancelled runs"):
            await replay(engine.services, "acme", run.run_id)
        return ended

    run = engine.live(story)
    assert (run.status, run.epoch, run.error) == ("completed", 1, None)
    assert engine.started == ["extract_a", "load_b", "load_b"]


def test_replay_with_other_parameters_or_the_latest_file(engine: Engine) -> None:
    text = "parameters: {limit: {type: integer, default: 1}}\n"
    engine.pipeline(text + one(config={"limit": "{limit}"}))
    seen: list[Any] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append(step_config["config"]["limit"])
        raise StepFailed("again")

    engine.works["load_a"] = work

    async def story() -> None:
        run = await engine.run()
        await replay(engine.services, "acme", run.run_id, parameters={"limit": "7"})
        await engine.worker.wait("acme", run.run_id)
        engine.pipeline(text + one(config={"limit": "{limit}0"}))
        with pytest.raises(InvalidInput, match="has changed since"):
            await replay(engine.services, "acme", run.run_id, parameters={"limit": 8})
        await replay(engine.services, "acme", run.run_id, latest=True)
        await engine.worker.wait("acme", run.run_id)

    engine.live(story)
    assert seen == [1, 7, "70"]


def test_another_orgs_run_does_not_exist(engine: Engine) -> None:
    engine.pipeline(one())

    async def story() -> None:
        await engine.org("other")
        run = await engine.run()
        for call in (cancel, replay):
            with pytest.raises(NotFound, match="other has no run"):
                await call(engine.services, "other", run.run_id)

    engine.live(story)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[]", b"null", b'{"v":"1"}', b'{"v":"2","run_id":"a","step_id":"b","epoch":0}',
     b'{"v":"1","run_id":"a/b","step_id":"b","epoch":0}', b'{"v":"1","run_id":"a","step_id":"b","epoch":true}'],
)  # fmt: skip
def test_a_message_that_is_not_ours_is_kept_as_it_came(engine: Engine, data: bytes) -> None:
    async def story() -> None:
        for handler, topic in ((on_step_ready, STEP_READY), (on_dead_letter, DEAD_LETTER)):
            answer = await handler(engine.services, Delivery(Message(data), "m1", 1, topic))
            assert answer == Ack()
        (letter,) = (await engine.documents.query("dead_letters")).documents
        assert letter.data["error"]["code"] == "message.unreadable"

    engine.live(story)


def test_a_step_whose_process_keeps_dying_is_not_started_for_ever(engine: Engine) -> None:
    engine.pipeline(one())

    class Died(BaseException):
        pass

    async def story() -> Any:
        engine.bus._topics.clear()  # this test delivers by hand
        run = await engine.start()
        engine.works["load_a"] = failing(Died())  # type: ignore[arg-type] # stands for the end of the process
        ready = Delivery(Message(StepReady(run.run_id, "load_a", 0).encode()), "m", 1, STEP_READY)
        for _ in range(5):
            with pytest.raises(Died):
                await on_step_ready(engine.services, ready)
            await engine.clock.sleep(91)
        await on_step_ready(engine.services, ready)
        return await engine.data(f"runs/{run.run_id}")

    run = engine.live(story)
    assert (run["status"], run["error"]["code"]) == ("failed", "step.crashed_often")
    assert len(engine.started) == 5


def test_a_reconciler_pass_that_fails_is_not_the_last(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(TWO)
    refusals = iter([Transient("away"), ValueError("broken")])
    query = engine.documents.query

    async def sometimes(*arguments: Any, **options: Any) -> Any:
        error = next(refusals, None) if engine.loop.now_s > 1 else None
        if error is not None:
            raise error
        return await query(*arguments, **options)

    async def story() -> Any:
        topics = dict(engine.bus._topics)
        await engine.worker.start()
        monkeypatch.setattr(engine.documents, "query", sometimes)
        engine.bus._topics.clear()
        run = await engine.start()
        engine.bus._topics.update(topics)
        return await engine.worker.wait("acme", run.run_id, settled=False)

    assert engine.live(story).status == "completed"


def test_staged_rows_are_swept_at_a_start_only_when_no_run_needs_them(engine: Engine) -> None:
    engine.pipeline(TWO)
    swept: list[str] = []

    async def story() -> None:
        engine.bus._topics.clear()
        run = await engine.start()
        worker = LocalWorker(engine.services, engine.bus, sweep=lambda: swept.append("now"))
        await worker.start()
        assert swept == []
        assert (await worker.wait("acme", run.run_id)).status == "completed"
        await worker.close()
        await LocalWorker(engine.services, engine.bus, sweep=lambda: swept.append("now")).start()

    engine.live(story)
    assert swept == ["now"]


def test_what_the_bus_lost_is_sent_again(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def story() -> Any:
        run = await engine.start()
        engine.bus._topics.clear()  # every message from here on is lost
        await engine.clock.sleep(61)
        engine.worker = type(engine.worker)(engine.services, engine.bus)
        assert await reconcile(engine.services) == 1
        return await engine.worker.wait("acme", run.run_id, settled=False)

    assert engine.live(story).status == "completed"
