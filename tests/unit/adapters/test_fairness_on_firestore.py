"""Orgs get their share with the documents in Firestore, as on SQLite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from convergence.engine.services import EngineSettings
from convergence.worker import LocalWorker
from tests.unit.adapters.firestore_engine import FirestoreEngine
from tests.unit.engine.queue.fairness import PLACES, check_light_orgs_come_first, check_throughput_follows_weights
from tests.unit.engine.works import one


@pytest.fixture
def capped(tmp_path: Path) -> FirestoreEngine:
    engine = FirestoreEngine(tmp_path)
    engine.services = replace(engine.services, settings=EngineSettings(runs_max=PLACES))
    engine.worker = LocalWorker(engine.services, engine.bus)
    engine.pipeline(one())
    engine.bus.detach()
    return engine


BACKLOG = 5_000


def test_99_light_orgs_are_done_before_a_heavy_one_starts_its_20th_run(capped: FirestoreEngine) -> None:
    capped.run_scenario(lambda: check_light_orgs_come_first(capped, BACKLOG))


def test_throughput_is_as_the_weights_within_a_tenth(capped: FirestoreEngine) -> None:
    capped.run_scenario(lambda: check_throughput_follows_weights(capped))
