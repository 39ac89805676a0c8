"""The issue's proof of fairness, on SQLite; tests/unit/adapters/test_fairness_on_firestore.py has the other store."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.engine.services import EngineSettings
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.fairness import PLACES, check_light_orgs_come_first, check_throughput_follows_weights
from tests.unit.engine.works import one


@pytest.fixture
def capped(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path, EngineSettings(runs_max=PLACES))
    engine.pipeline(one())
    engine.bus.detach()
    return engine


def test_99_light_orgs_are_done_before_a_heavy_one_starts_its_20th_run(capped: Engine) -> None:
    capped.run_scenario(lambda: check_light_orgs_come_first(capped, 5_000))


def test_throughput_is_as_the_weights_within_a_tenth(capped: Engine) -> None:
    capped.run_scenario(lambda: check_throughput_follows_weights(capped))
