"""What a step leaves when it is done, and how its words reach the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from convergence.domain.step import Step
from convergence.engine.step.plain_text import plain
from convergence.engine.step.secret_forms import parts
from convergence.ports.processor import Context
from convergence.ports.warehouse import Load
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one


def test_a_step_that_is_done_has_no_owner_any_more(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        run = await engine.run()
        step = Step.from_data(await engine.data(f"{run.path}/steps/load_a"))
        assert (step.status, step.lease_owner, step.lease_until) == ("completed", "", None)

    engine.run_scenario(scenario)


def test_a_load_replaces_the_days_of_the_field_that_the_step_names(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pipeline(one())
    sent: list[Load] = []
    load = engine.warehouse.load

    async def noted(given: Load, *stages: Any) -> Any:
        sent.append(given)
        return await load(given, *stages)

    monkeypatch.setattr(engine.warehouse, "load", noted)

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        stage = context.warehouse.stage("rows")
        await stage.write(0, [{"day": date(2026, 2, 1)}])
        await context.warehouse.load(stage, dates=[date(2026, 2, 1)], date_field="day")
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    assert engine.run_scenario(engine.run).status == "completed"
    assert [(each.dates, each.date_field) for each in sent] == [((date(2026, 2, 1),), "day")]


def test_a_character_that_json_writes_as_a_pair_is_one_again() -> None:
    assert plain(r"a\ud83d\ude00b").text == "a😀b"


def test_lines_beside_a_key_are_not_secret_and_the_key_is() -> None:
    key = "subject=/CN=hooks.example.com\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
    assert parts(key) == {key, "MIIEvQIBADANBg"}
