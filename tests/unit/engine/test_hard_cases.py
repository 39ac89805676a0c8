"""Cases in which an engine goes wrong quietly: each once did."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.engine.reconcile import reconcile
from convergence.engine.replay import replay
from convergence.engine.step import lease as lease_module
from convergence.errors import Denied, InvalidInput, StepFailed
from convergence.ports.documents import Create, Patch
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine, FunctionProcessor
from tests.unit.engine.works import TWO, failing, one, returning


def test_a_start_reads_each_unfinished_run_once_however_many_there_are(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("large", daily=10**6, monthly=10**6, concurrent=10**6)
        engine.bus.detach()
        for _ in range(250):
            await engine.start(org="large")
        assert await reconcile(engine.services, everything=True) == 250

    engine.run_scenario(scenario)


def test_owners_of_an_earlier_boot_are_dead_where_one_process_works(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> Any:
        engine.bus.detach()
        run = await engine.start()
        until = engine.clock.now() + timedelta(seconds=90)
        engine.bus = type(engine.bus)()
        sole = replace(engine.services.settings, sole_process=True)
        services = replace(engine.services, bus=engine.bus, settings=sole, owner="boot2")
        claimed = {"status": "running", "lease_owner": "boot1", "lease_until": until.isoformat(), "claims": 1}
        blank = (await _blank_step(engine, run.run_id)) | claimed | {"children": []}  # as an older release wrote it
        await engine.documents.commit([Create(f"runs/{run.run_id}/steps/load_a", blank)])
        engine.worker = type(engine.worker)(services, engine.bus)
        await engine.worker.start()
        return await engine.worker.wait("acme", run.run_id)

    assert engine.run_scenario(scenario).status == "completed"
    assert engine.loop.now_s < 80


async def _blank_step(engine: Engine, run_id: str) -> dict[str, Any]:
    from convergence.domain.step import Step

    return Step(step_id="load_a").to_data()


def test_a_text_that_is_half_a_character_fails_its_step_only(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("bad \ud800 text"))

    async def scenario() -> Any:
        run = await engine.run()
        with pytest.raises(InvalidInput, match="cannot be stored"):
            await engine.documents.commit([Create("runs/x", {"text": "\ud800"})])
        good, bad = Create("runs/y", {}), Create("runs/z", {"text": "\ud800"})
        answers = await asyncio.gather(
            *(engine.documents.commit([write]) for write in (good, bad)), return_exceptions=True
        )
        assert isinstance(answers[1], InvalidInput)
        assert await engine.documents.get("runs/y") is not None
        return run

    assert engine.run_scenario(scenario).error["message"] == "generic.noop: bad ? text"


def test_a_condition_that_cannot_be_decided_fails_the_step_with_its_reason(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a, when: results.extract_a.name > 3}
""")
    engine.works["extract_a"] = returning({"status": "SUCCESS", "name": "text"})
    run = engine.run_scenario(engine.run)
    assert (run.status, run.error["step_id"]) == ("failed", "load_b")
    assert run.error["message"].startswith("when: ")
    assert engine.loop.now_s < 60


@pytest.mark.parametrize("rows", ["many", -1, 1.5, True])
def test_a_number_of_rows_that_is_none_is_a_bad_result(engine: Engine, rows: Any) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = returning({"status": "SUCCESS", "rows_processed": rows})
    run = engine.run_scenario(engine.run)
    assert run.error["code"] == "step.bad_result"
    assert run.check_at is None


def test_an_execute_that_is_not_async_is_a_bad_result(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunctionProcessor, "execute", lambda self, step_config, context: {"status": "SUCCESS"})
    engine.pipeline(one())
    run = engine.run_scenario(engine.run)
    assert run.error["code"] == "step.bad_result"
    assert "has an `execute` that is not async: write `async def execute`" in run.error["message"]


def slow(seconds: float) -> Any:
    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(seconds)
        return {"status": "SUCCESS"}

    return work


def test_a_renewal_moves_the_lease_and_ends_with_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one(timeout_minutes=30))
    engine.works["load_a"] = slow(100)
    renewals: list[float] = []
    renew_once = lease_module.Lease.renew_once

    async def counted(self: Any) -> Any:
        renewals.append(engine.loop.now_s)
        await asyncio.sleep(15)  # a store that is slow: the last renewal is under way when the step ends
        return await renew_once(self)

    monkeypatch.setattr(lease_module.Lease, "renew_once", counted)

    async def scenario() -> Any:
        run = await engine.start()
        await engine.clock.sleep(60)
        step = await engine.data(f"runs/{run.run_id}/steps/load_a")
        ended = await engine.worker.wait("acme", run.run_id, with_end_steps=False)
        await engine.clock.sleep(200)
        return step, ended

    step, ended = engine.run_scenario(scenario)
    assert step["lease_until"] > "2026-03-01T00:02:00"  # the claim's own ends at 00:01:30
    assert (ended.status, renewals) == ("completed", [30.0, 75.0])


def test_a_renewal_that_raises_does_not_end_the_time_limit(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.pipeline(one(timeout_seconds=70))
    engine.works["load_a"] = slow(10_000)

    async def broken(self: Any) -> Any:
        raise ValueError("not what anybody expected")

    monkeypatch.setattr(lease_module.Lease, "renew_once", broken)
    run = engine.run_scenario(engine.run)
    assert run.error["message"] == "generic.noop: timed out after 70s (the step's timeout)"


def test_a_run_that_cannot_be_read_starves_no_other(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> str:
        subscriptions = engine.bus.detach()
        bad, good = await engine.start(), await engine.start()
        await engine.documents.commit([Patch(f"runs/{bad.run_id}", unset=[("digest",)])])
        engine.bus.attach(subscriptions)
        await engine.clock.sleep(61)
        await reconcile(engine.services)
        return (await engine.worker.wait("acme", good.run_id, with_end_steps=False)).status

    assert engine.run_scenario(scenario) == "completed"


def test_an_idempotency_key_still_means_the_same_request_after_midnight(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        first = await engine.run(idempotency_key="k")
        await engine.clock.sleep(86_400)
        assert (await engine.start(idempotency_key="k")).run_id == first.run_id
        with pytest.raises(InvalidInput, match="was for a different request"):
            await engine.start(idempotency_key="k", parameters={"date": "2026-01-01"})

    engine.run_scenario(scenario)


def test_a_suspended_org_cannot_replay(engine: Engine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("x"))

    async def scenario() -> None:
        run = await engine.run()
        await engine.documents.commit([Patch("orgs/acme", {("status",): "SUSPENDED"})])
        with pytest.raises(Denied, match="not allowed for SUSPENDED"):
            await replay(engine.services, "acme", run.run_id)

    engine.run_scenario(scenario)


def test_a_tolerated_step_that_cannot_even_start_is_tolerated_too(engine: Engine) -> None:
    engine.pipeline("""
steps:
  - {step_id: extract_a, ps_type: generic.noop, on_failure: continue, config: {table: "{billing_export_table}"}}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a}
""")
    run = engine.run_scenario(engine.run)
    assert (run.status, engine.started) == ("completed", ["load_b"])
    assert "billing_export_table" in run.warnings[0]


def test_a_processor_that_wraps_its_cancellation_is_stopped_and_has_not_failed(engine: Engine) -> None:
    engine.pipeline(one(timeout_seconds=20, retry={"max_attempts": 2, "backoff_seconds": 1}))
    endings = iter([True, False])

    async def wrapping(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        try:
            await context.sleep(1000 if next(endings) else 0)
        except asyncio.CancelledError:
            raise RuntimeError("something went wrong") from None
        return {"status": "SUCCESS"}

    engine.works["load_a"] = wrapping
    assert engine.run_scenario(engine.run).status == "completed"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)])
def test_a_processor_that_ends_like_a_process_has_failed_and_nothing_else_ends(
    engine: Engine, error: BaseException
) -> None:
    engine.pipeline(TWO)
    engine.works["extract_a"] = failing(error)
    run = engine.run_scenario(engine.run)
    assert (run.status, run.error["code"]) == ("failed", "step.crashed")


def test_a_missing_file_is_not_tried_again(engine: Engine) -> None:
    engine.pipeline(one(retry={"max_attempts": 3, "backoff_seconds": 1}))
    engine.works["load_a"] = failing(FileNotFoundError("prices.csv"))
    engine.run_scenario(engine.run)
    assert engine.started == ["load_a"]


def test_the_reason_for_a_refused_credential_is_stored_without_it(engine: Engine) -> None:
    key = "sk-live-0123456789"
    engine.pipeline("parameters: {api_key: {type: secret, required: true}}\n" + one())

    async def refuse(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.credentials.store("p", await context.secrets.open("api_key"))
        await context.credentials.mark("p", valid=False, reason=f"{key} is no key")
        return {"status": "SUCCESS"}

    engine.works["load_a"] = refuse

    async def scenario() -> str:
        await engine.run(parameters={"api_key": key})
        (credential,) = (await engine.documents.query("orgs/acme/credentials")).documents
        return str(credential.data["why"])

    assert engine.run_scenario(scenario) == "[secret] is no key"
