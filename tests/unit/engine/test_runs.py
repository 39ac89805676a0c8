"""Runs from their first step to their end, on the embedded adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from convergence.engine.cancel import cancel
from convergence.engine.replay import replay
from convergence.errors import StepFailed, Throttled, Transient
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one, returning


def test_steps_run_in_order_and_their_rows_add_up(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = returning({"status": "SUCCESS", "rows_processed": 5, "rows_written": 4})
    engine.works["load_b"] = returning({"status": "COMPLETED", "rows_processed": 2})
    run = engine.run_scenario(engine.run)
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
    engine.run_scenario(engine.run)
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

    async def scenario() -> Any:
        run = await engine.run()
        return run, await engine.data(f"runs/{run.run_id}/steps/load_b")

    run, skipped = engine.run_scenario(scenario)
    assert (run.status, engine.started) == ("completed", ["extract_a", "load_c"])
    assert skipped["status"] == "skipped"
    assert "condition is false" in skipped["transitions"][-1][2]


def test_a_retryable_failure_is_tried_again_after_its_backoff(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 100}))
    engine.works["load_a"] = failing(Transient("away"), times=2)
    run = engine.run_scenario(engine.run)
    assert (run.status, len(engine.started)) == ("completed", 3)
    assert 150 <= engine.loop.now_s <= 400


def test_a_provider_that_says_when_is_not_asked_before(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 2, "backoff_seconds": 1}))
    engine.works["load_a"] = failing(Throttled("slow down", retry_after_s=45), times=1)
    assert engine.run_scenario(engine.run).status == "completed"
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
        (returning({"status": "SUCCESS", "x": "y" * 70_000}), "step.bad_result", "a result may have 65536"),
    ],
)
def test_a_final_failure_fails_the_run_and_leaves_one_dead_letter(
    engine: Engine, work: Any, code: str, message: str
) -> None:
    engine.pipeline(one() + "\n")
    engine.works["load_a"] = work

    async def scenario() -> Any:
        run = await engine.run()
        dead_letters = await engine.documents.query("dead_letters")
        usage = await engine.data("orgs/acme/usage/current")
        return run, dead_letters.documents, usage

    run, dead_letters, usage = engine.run_scenario(scenario)
    assert (run.status, run.error["code"], run.error["step_id"]) == ("failed", code, "load_a")
    assert message in run.error["message"]
    assert [(dead_letter.data["step_id"], dead_letter.data["error"]["code"]) for dead_letter in dead_letters] == [
        ("load_a", code)
    ]
    assert usage["active"] == {}


def test_a_step_that_lacks_a_piece_of_the_orgs_profile_fails_alone_and_says_so(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a, config: {table: "{billing_export_table}"}}
""")
    run = engine.run_scenario(engine.run)
    assert (run.status, run.error["code"], engine.started) == ("failed", "step.broken", ["extract_a"])
    assert "billing_export_table" in run.error["message"]


def test_a_failure_that_is_tolerated_is_a_warning(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop, on_failure: continue}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a}
""")
    engine.works["extract_a"] = failing(StepFailed("broken"))
    run = engine.run_scenario(engine.run)
    assert (run.status, run.warnings) == ("completed", ("extract_a: generic.noop: broken",))
    assert run.outcome == "completed_with_warnings"


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
    run = engine.run_scenario(engine.run)
    assert (run.status, run.totals["rows_written"]) == ("completed", 4)
    (rows,) = engine.warehouse.slices.values()
    assert [row["n"] for row in rows] == [0, 1, 2, 3]


def test_a_step_that_goes_on_in_slices_does_so_at_once(engine: Engine) -> None:
    engine.pipeline(one())
    began_s: list[float] = []

    async def sliced(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        began_s.append(engine.loop.now_s)
        piece = context.checkpoint or 0
        return {"status": "CONTINUE", "checkpoint": piece + 1} if piece < 3 else {"status": "SUCCESS"}

    engine.works["load_a"] = sliced
    assert engine.run_scenario(engine.run).status == "completed"
    assert len(began_s) == 4
    assert began_s[-1] - began_s[0] < 1, "no slice waited for the reconciler"


def test_a_step_over_its_time_is_stopped(engine: Engine) -> None:
    engine.pipeline(one(timeout_seconds=30))

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(10_000)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = endless
    run = engine.run_scenario(engine.run)
    assert run.error["message"] == "generic.noop: timed out after 30s (the step's timeout)"
    assert engine.loop.now_s < 60


def test_a_step_that_goes_on_in_slices_is_stopped_when_they_took_its_time_together(engine: Engine) -> None:
    engine.pipeline(one(timeout_seconds=70))

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(30)
        return {"status": "CONTINUE", "checkpoint": (context.checkpoint or 0) + 1}

    engine.works["load_a"] = endless

    async def scenario() -> Any:
        run = await engine.run()
        subscriptions = engine.bus.detach()
        failed = await engine.data(f"{run.path}/steps/load_a")
        await replay(engine.services, "acme", run.run_id)
        again = await engine.data(f"{run.path}/steps/load_a")
        engine.bus.attach(subscriptions)
        return run, failed["elapsed_s"], again["elapsed_s"]

    run, failed_s, again_s = engine.run_scenario(scenario)
    assert run.error["message"] == "generic.noop: timed out after 10s (the step's timeout)"
    assert engine.started == ["load_a"] * 3
    assert (failed_s, again_s) == (60.0, 0.0)


def test_a_step_cut_off_by_the_runs_deadline_says_so_in_the_same_words(engine: Engine) -> None:
    engine.pipeline("timeout_minutes: 1\n" + one())

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(10_000)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = slow

    async def scenario() -> Any:
        run = await engine.run()
        return run, await engine.data(f"runs/{run.run_id}/steps/load_a")

    run, step = engine.run_scenario(scenario)
    assert "Pipeline execution timed out after 60s" in run.error["message"]
    assert "Pipeline execution timed out after 60s" in step["error"]["message"]


def test_a_run_over_its_deadline_fails_with_a_dead_letter_of_its_own(engine: Engine) -> None:
    engine.pipeline("timeout_minutes: 1\n" + one(retry={"max_attempts": 9, "backoff_seconds": 600}))
    engine.works["load_a"] = failing(Transient("away"))

    async def scenario() -> Any:
        run = await engine.start()
        await engine.worker.start()
        return await engine.worker.wait("acme", run.run_id), await engine.documents.query("dead_letters")

    run, dead_letters = engine.run_scenario(scenario)
    assert run.error["code"] == "run.timeout"
    assert run.error["message"].startswith("Pipeline execution timed out after 60s")
    assert [(each.data["step_id"], each.data["attempts"]) for each in dead_letters.documents] == [("_run", 1)]


def test_cancel_reaches_a_running_processor_and_wakes_no_step(engine: Engine) -> None:
    engine.pipeline(TWO)
    stopped: list[float] = []

    async def endless(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        try:
            await context.sleep(300)
        finally:
            stopped.append(engine.loop.now_s)
        return {"status": "SUCCESS"}

    engine.works["extract_a"] = endless

    async def scenario() -> Any:
        run = await engine.start()
        await engine.clock.sleep(5)
        cancelled = await cancel(engine.services, "acme", run.run_id)
        await engine.bus.idle()
        return cancelled, await engine.data(f"runs/{run.run_id}/steps/extract_a")

    run, step = engine.run_scenario(scenario)
    assert (run.status, engine.started, stopped) == ("cancelled", ["extract_a"], [5.0])
    assert (step["status"], step["lease_until"]) == ("retrying", None)


def test_a_long_step_keeps_its_lease_to_the_end(engine: Engine) -> None:
    engine.pipeline(one(timeout_minutes=30) + "\ntimeout_minutes: 60\n")

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(400)
        stage = context.warehouse.stage("t")
        await stage.write(0, [{"n": 1}])
        return {"status": "SUCCESS"}

    engine.works["load_a"] = slow

    assert engine.run_scenario(engine.run).status == "completed"
    assert engine.started == ["load_a"]


def test_end_steps_run_once_after_the_end_and_never_change_it(engine: Engine) -> None:
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
    run = engine.run_scenario(engine.run)
    assert run.status == "failed"
    assert sorted(engine.started) == ["load_a", "notify_all", "notify_bad"]
    assert seen == ["failed: generic.noop: x in load_a, 0 rows"]
