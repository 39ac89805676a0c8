"""Wide graphs end at once, by their messages alone: the reconciler would only hide a hint that is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from convergence.engine.replay import replay
from convergence.errors import StepFailed
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import failing

WIDTHS = [1, 2, 31, 32, 33, 34, 64, 65, 300, 1000]


def line(name: str, *needs: str) -> str:
    return f"  - {{step_id: {name}, ps_type: generic.noop, depends_on: [{', '.join(needs)}]}}\n"


def wide(width: int) -> list[str]:
    return [f"w{number}" for number in range(width)]


def sinks(width: int) -> str:
    return "".join(line(name) for name in wide(width))


def join(width: int) -> str:
    return sinks(width) + line("join", *wide(width))


def fan(width: int) -> str:
    return line("root") + "".join(line(name, "root") for name in wide(width))


def fan_and_join(width: int) -> str:
    return fan(width) + line("join", *wide(width))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", [sinks, join, fan, fan_and_join])
def test_a_run_of_any_width_ends_with_its_last_step(engine: Engine, shape: Callable[[int], str], width: int) -> None:
    engine.pipeline("steps:\n" + shape(width))

    async def scenario() -> Any:
        run = await engine.start()
        await engine.bus.idle()
        return await engine.data(run.path)

    run = engine.run_scenario(scenario)
    assert (run["status"], engine.loop.now_s) == ("completed", 0)
    assert len(engine.started) == len(set(engine.started)) == shape(width).count("\n")


def test_a_wide_join_that_the_latest_file_adds_behind_finished_steps_starts_at_once(engine: Engine) -> None:
    engine.pipeline("steps:\n" + sinks(40))
    engine.works["w39"] = failing(StepFailed("once"), times=1)

    async def scenario() -> Any:
        run = await engine.start()
        await engine.bus.idle()
        engine.pipeline("steps:\n" + join(40))
        await replay(engine.services, "acme", run.run_id, latest=True)
        await engine.bus.idle()
        return await engine.data(run.path)

    run = engine.run_scenario(scenario)
    assert (run["status"], engine.loop.now_s) == ("completed", 0)
    assert engine.started.count("join") == 1
