"""The issue's proof of fairness, on SQLite; tests/unit/adapters/test_fairness_on_firestore.py has the other store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.fairness import PLACES, check_light_orgs_come_first, check_throughput_follows_weights
from tests.unit.engine.queue.queueing import capped_engine


@pytest.fixture
def capped(tmp_path: Path) -> Engine:
    return capped_engine(tmp_path, PLACES)


def test_99_light_orgs_are_done_before_a_heavy_one_starts_its_20th_run(capped: Engine) -> None:
    capped.run_scenario(lambda: check_light_orgs_come_first(capped, 5_000))


def test_throughput_is_as_the_weights_within_a_tenth(capped: Engine) -> None:
    capped.run_scenario(lambda: check_throughput_follows_weights(capped))
