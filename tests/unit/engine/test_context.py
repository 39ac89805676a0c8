"""What a processor finds in its context, and what becomes of what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from convergence.domain.plan import PlanStep
from convergence.domain.step import Applied, Step
from convergence.engine.replay import replay
from convergence.engine.step.execute import time_limit
from convergence.engine.store import StoredRun, read_run
from convergence.engine.views.runs import status
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import QueryResult, TableSchema
from convergence.tenants.orgs import Org
from tests.simulation.memory_warehouse import MemoryStage
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, failing, one, returning


def test_a_context_holds_these_names_and_suggests_them(engine: Engine) -> None:
    engine.pipeline("parameters: {limit: {type: integer, default: 3}}\nvariables: {unit: USD}\n" + TWO)
    engine.works["extract_a"] = returning({"status": "SUCCESS", "file_name": "f.csv"})
    seen: dict[str, Any] = {}

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.update({name: context[name] for name in context if name not in ("secrets", "results", "run_id")})
        seen["typed"] = (context.pipeline_id, context.provider, context.step_id, context.attempt, context.checkpoint)
        seen["dates"] = (context.start_date, context.end_date, len(context))
        with pytest.raises(KeyError, match=r"limt: not in this step's context.*Did you mean 'limit'"):
            context["limt"]
        return {"status": "SUCCESS"}

    engine.works["load_b"] = work
    run = engine.run_scenario(engine.run)
    assert run.status == "completed"
    expected = {
        "org_slug": "acme", "step_id": "load_b", "pipeline_id": "acme-n", "provider": "p", "domain": "d",
        "credential_id": "", "attempt": 1, "epoch": 0, "trigger": "manual", "checkpoint": None, "config_path": "p/d/n",
        "limit": 3, "unit": "USD", "file_name": "f.csv", "org_dataset": "acme_dev",
    }  # fmt: skip
    assert {name: seen[name] for name in expected} == expected
    assert seen["typed"] == ("acme-n", "p", "load_b", 1, None)
    first, last, names = seen["dates"]
    assert (type(first), type(last)) == (date, date)
    assert names == len(seen) - 2 + 3  # without the two of this test, with the three left out above


def test_what_was_staged_is_safe_before_the_checkpoint_is(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one())
    flushed: list[int] = []

    async def flush(self: MemoryStage) -> None:
        flushed.append(len(self.parts))

    monkeypatch.setattr(MemoryStage, "flush", flush)

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if context.checkpoint is not None:
            return {"status": "SUCCESS"}
        await context.warehouse.stage("rows").write(0, [{"n": 1}])
        return {"status": "CONTINUE", "checkpoint": 1}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert flushed == [1]


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ({"status": "FAILED"}, "step.failed", "generic.noop: the processor answered FAILED without an error"),
        ({"status": "FAILED", "message": "m"}, "step.failed", "generic.noop: m"),
        ({"status": "FAILED", "message": "m", "error": "e"}, "step.failed", "generic.noop: e"),
        ({"status": "DONE"}, "step.bad_result", "generic.noop: answered status 'DONE'; use SUCCESS"),
    ],
)
def test_an_answer_that_is_a_failure_is_final(engine: Engine, answer: dict[str, Any], code: str, message: str) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 1}))
    engine.works["load_a"] = returning(answer)
    run = engine.run_scenario(engine.run)
    assert (run.error["code"], engine.started) == (code, ["load_a"])
    assert run.error["message"].partition(", COMPLETED")[0] == message


def test_an_execution_is_limited_by_its_step_its_process_and_its_run(engine: Engine) -> None:
    engine.pipeline(one() + "\ntimeout_minutes: 5\n")

    async def scenario() -> list[tuple[float, str]]:
        engine.bus.detach()
        run = await read_run(engine.services, (await engine.start()).run_id)
        assert run is not None
        step, began = PlanStep(step_id="a", ps_type="x.y", timeout_s=100), Step(step_id="a")
        late = StoredRun(replace(run.run, deadline_at=engine.clock.now() - timedelta(seconds=9)), run.version)
        cases = [
            (run, step, began),
            (run, step, replace(began, elapsed_s=30.0)),
            (run, replace(step, timeout_s=400), began),
            (late, step, began),
            (late, replace(step, trigger="on_failure"), began),
            (run, replace(step, timeout_s=9000, trigger="on_failure"), began),
        ]
        return [time_limit(engine.services, stored, planned, known) for stored, planned, known in cases]

    assert engine.run_scenario(scenario) == [
        (100, "the step's timeout"),
        (70, "the step's timeout"),
        (300, "the run's deadline"),
        (0.001, "the run's deadline"),
        (100, "the step's timeout"),
        (480, "the longest execution in one go; longer steps must be resumable"),
    ]


def test_an_end_step_is_told_how_the_run_went(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: load_a, ps_type: generic.noop}
  - step_id: tell
    ps_type: generic.noop
    trigger: on_success
    config: {text: "{status} {records_processed} {started_at} {finished_at} {duration_seconds} {failed_step}|"}
""")
    texts: list[str] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(12.3456)
        return {"status": "SUCCESS", "rows_processed": 7}

    async def tell(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        texts.append(step_config["config"]["text"])
        return {"status": "SUCCESS"}

    engine.works |= {"load_a": work, "tell": tell}
    engine.run_scenario(engine.run)
    times = "2026-03-01T00:00:00.000000Z 2026-03-01T00:00:12.345600Z"
    assert texts == [f"completed 7 {times} 12.346 |"]


def test_a_replay_fills_templates_with_the_profile_and_the_project_of_today(engine: Engine) -> None:
    engine.pipeline(
        "parameters: {limit: {type: integer, default: 1}}\n"
        + one(config={"text": "{limit} {project_id} {org_slug} {org_dataset} {admin_email}"})
    )
    seen: list[str] = []

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append(step_config["config"]["text"])
        raise StepFailed("again")

    engine.works["load_a"] = work

    def with_mail(name: str) -> Any:
        def edit(org: Org) -> Org:
            return replace(org, profile={"admin_email": name})

        return engine.services.orgs.change("acme", edit, token=name)

    async def scenario() -> None:
        await with_mail("old@acme.example")
        run = await engine.run()
        await with_mail("new@acme.example")
        await replay(engine.services, "acme", run.run_id, parameters={"limit": 2})
        await engine.worker.wait("acme", run.run_id)

    engine.run_scenario(scenario)
    assert seen == [
        "1 local-dev-project acme acme_dev old@acme.example",
        "2 local-dev-project acme acme_dev new@acme.example",
    ]


def test_a_word_on_a_finished_step_is_refused_as_such(engine: Engine) -> None:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("no"))

    async def scenario() -> None:
        run = await engine.run()
        with pytest.raises(InvalidInput, match=r"^'extract_a' is finished; nothing of it is kept or written again"):
            await replay(engine.services, "acme", run.run_id, applied={"extract_a": Applied.KEEP})

    engine.run_scenario(scenario)


def test_what_runs_once_leaves_its_mark_under_org_and_pipeline(engine: Engine) -> None:
    engine.pipeline("execution: {run_once: true}\n" + one())

    async def scenario() -> Any:
        run = await engine.run()
        return run.run_id, await engine.data("once/acme.p.d.n")

    run_id, mark = engine.run_scenario(scenario)
    assert mark == {"org": "acme", "run_id": run_id}


def test_a_read_is_not_a_job_and_a_load_makes_its_table_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one())
    sent: list[Any] = []

    async def query(statement: Any) -> QueryResult:
        sent.append((statement.sql, statement.job_id, statement.scope.writable))
        return QueryResult(rows_affected=0)

    async def ensure_table(dataset: str, table: TableSchema) -> None:
        sent.append((dataset, table.name))

    monkeypatch.setattr(engine.warehouse, "query", query)
    monkeypatch.setattr(engine.warehouse, "ensure_table", ensure_table)

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.warehouse.query("SELECT 1", {})
        await context.warehouse.query("DELETE FROM t", {}, write=True, dry_run=True)
        stage = context.warehouse.stage("rows")
        await stage.write(0, [{"n": 1}])
        await context.warehouse.load(stage, dates=None)
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert sent == [("SELECT 1", None, False), ("DELETE FROM t", None, True), ("acme_dev", "rows")]


def test_a_run_that_has_just_begun_is_shown_without_rows_and_without_a_next_try(engine: Engine) -> None:
    engine.pipeline(one())

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        shown = await status(engine.services, "acme", context.run_id)
        seen.append((shown["records_processed"], shown["progress"], shown["steps"][0]["next_attempt_at"]))
        return {"status": "SUCCESS", "rows_processed": 4}

    engine.works["load_a"] = work
    seen: list[Any] = []
    engine.run_scenario(engine.run)
    assert seen == [(0, 0, None)]
