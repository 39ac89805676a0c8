"""What is checked and reserved before a run begins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.engine.cancel import cancel
from convergence.engine.dispatch_message import on_dispatch
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.replay import replay
from convergence.engine.services import ProcessCache
from convergence.errors import Conflict, InvalidInput, NotFound, QuotaExceeded, RateLimited
from convergence.ports.bus import DISPATCH, Ack, Delivery, Message, Retry
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, one

CONFIGS = Path(__file__).parents[3] / "configs"


def test_an_idempotency_key_gives_the_same_run_and_refuses_another_request(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        first = await engine.run(idempotency_key="k")
        assert (await engine.start(idempotency_key="k")).run_id == first.run_id
        with pytest.raises(InvalidInput, match="was for a different request"):
            await engine.start(idempotency_key="k", parameters={"date": "2026-01-01"})

    engine.run_scenario(scenario)
    assert engine.started == ["load_a"]


def test_the_same_parameters_in_another_order_are_the_same_request(engine: Engine) -> None:
    engine.pipeline(one())
    given = {"start_date": "2026-01-01", "end_date": "2026-01-02"}

    async def scenario() -> None:
        first = await engine.start(idempotency_key="k", parameters=given)
        again = await engine.start(idempotency_key="k", parameters=dict(reversed(given.items())))
        assert again.run_id == first.run_id

    engine.run_scenario(scenario)


def test_the_same_request_sent_twice_at_once_takes_the_last_place_of_the_day_once(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("small", daily=1)
        asked = (engine.start(org="small", idempotency_key="k") for _ in range(2))
        first, second = await asyncio.gather(*asked)
        assert first.run_id == second.run_id

    engine.run_scenario(scenario)
    assert engine.started == ["load_a"]


def test_limits_of_the_org_refuse_before_anything_is_stored(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("small", daily=1)
        await engine.run(org="small")
        with pytest.raises(QuotaExceeded, match=r"Daily pipeline limit \(1\) reached"):
            await engine.start(org="small")
        assert await engine.documents.count("runs") == 1

    engine.run_scenario(scenario)


def test_a_pipelines_own_limit_a_minute_holds_for_calls_and_messages_of_all_processes(engine: Engine) -> None:
    engine.pipeline("rate_limit_per_minute: 2\n" + one())
    asked = {"org": "acme", "pipeline": "p/d/n", "trigger": "schedule", "idempotency_key": "daily@1"}

    async def scenario() -> None:
        first = await engine.start(idempotency_key="a")
        engine.services = replace(engine.services, cache=ProcessCache())  # another process
        await engine.start()
        with pytest.raises(
            RateLimited, match=r"p/d/n may run at most 2 times a minute .*rate_limit_per_minute"
        ) as refused:
            await engine.start()
        assert 29 <= refused.value.retry_after_s <= 30
        delivery = Delivery(Message(orjson.dumps(asked), {"kind": "dispatch"}), "m1", 1, DISPATCH)
        assert isinstance(await on_dispatch(engine.services, delivery), Retry)
        assert (await engine.start(idempotency_key="a")).run_id == first.run_id  # not a new run
        assert await engine.documents.count("runs") == 2
        await engine.clock.sleep(31)
        assert await on_dispatch(engine.services, delivery) == Ack()

    engine.run_scenario(scenario)


def test_of_many_callers_exactly_one_gets_the_last_slot(engine: Engine) -> None:
    engine.pipeline(one())

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(300)
        return {"status": "SUCCESS"}

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        engine.works["load_a"] = slow
        asked = [engine.start(org="small") for _ in range(64)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1
        assert sum(isinstance(answer, QuotaExceeded) for answer in answers) == 63

    engine.run_scenario(scenario)


@pytest.mark.parametrize("declared", ["parameters: {again: {type: boolean}}\n", ""])
def test_run_once_runs_once_until_it_is_forced(engine: Engine, declared: str) -> None:
    engine.pipeline("execution: {run_once: true, force_param: again}\n" + declared + one())

    async def scenario() -> None:
        await engine.run()
        with pytest.raises(
            InvalidInput,
            match=r"runs only once, and run .* completed it; to run it again pass"
            r" again=true",
        ):
            await engine.start()
        assert (await engine.run(parameters={"again": True})).status == "completed"

    engine.run_scenario(scenario)


def test_a_dry_run_stores_nothing(engine: Engine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> None:
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
        assert [step.step_id for step in prepared.plan.steps] == ["extract_a", "load_b"]
        assert await engine.documents.count("runs") == 0

    engine.run_scenario(scenario)


def test_unknown_names_are_refused(engine: Engine) -> None:
    async def scenario() -> None:
        with pytest.raises(NotFound, match="Unknown org: 'nobody'"):
            await engine.start(org="nobody")
        with pytest.raises(NotFound, match="Pipeline not found"):
            await engine.start("p/d/other")

    engine.run_scenario(scenario)


def test_a_run_that_stores_a_named_credential_tries_that_one_whichever_is_the_default(engine: Engine) -> None:
    engine.pipeline("parameters: {credential_name: {type: string, default: default}}\n" + one())

    async def scenario() -> None:
        credentials = engine.services.credentials
        first = await credentials.store("acme", "p", "sk-one", name="default")
        second = await credentials.store("acme", "p", "sk-two", name="second")
        assert (await engine.start()).credential_id == first
        assert (await engine.start(parameters={"credential_name": "second"})).credential_id == second

    engine.run_scenario(scenario)


def test_production_calls_only_the_apis_of_its_registry_for_a_tenant(engine: Engine) -> None:
    engine.pipeline("parameters: {api_base_url: {type: string, default: 'https://api.openai.com/v1'}}\n" + one())

    async def scenario() -> None:
        production = replace(engine.services, env="prod", configs_dir=CONFIGS)
        inside = {"api_base_url": "https://169.254.169.254/v1"}
        expected = RunRequest(org="acme", pipeline="p/d/n", parameters=inside)
        await prepare(engine.services, expected)  # a developer's sandbox may be anywhere
        with pytest.raises(InvalidInput, match=r"does not call '169\.254\.169\.254'"):
            await prepare(production, expected)
        await prepare(production, RunRequest(org="acme", pipeline="p/d/n"))
        failed = await engine.start()
        await cancel(engine.services, "acme", failed.run_id)
        with pytest.raises(InvalidInput, match="does not call"):
            await replay(production, "acme", failed.run_id, parameters=inside)

    engine.run_scenario(scenario)


def test_a_run_whose_place_others_keep_taking_is_refused_after_some_tries(engine: Engine) -> None:
    engine.pipeline(one())
    tries = 0

    async def taken(writes: Any) -> Any:
        nonlocal tries
        tries += 1
        raise Conflict("another run came first")

    async def scenario() -> None:
        engine.documents.commit = taken  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            await engine.start()

    engine.run_scenario(scenario)
    assert tries == 12


def test_a_run_that_the_same_request_has_stored_meanwhile_is_not_tried_again(engine: Engine) -> None:
    engine.pipeline(one())
    tries = 0

    async def scenario() -> None:
        commit = engine.documents.commit

        async def late(writes: Any) -> Any:
            nonlocal tries
            tries += 1
            await commit(writes)
            engine.documents.commit = commit  # type: ignore[method-assign]
            raise Conflict("the same request came first")

        engine.documents.commit = late  # type: ignore[method-assign]
        run = await engine.start(idempotency_key="k")
        assert (await engine.start(idempotency_key="k")).run_id == run.run_id

    engine.run_scenario(scenario)
    assert tries == 1
