"""What is checked and reserved before a run begins."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from convergence.engine.dispatch import RunRequest, prepare
from convergence.errors import InvalidInput, NotFound, QuotaExceeded
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO, one


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
