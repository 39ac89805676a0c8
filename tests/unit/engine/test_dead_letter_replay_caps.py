"""Replays of many dead letters while the installation has no room: it is asked once in a round, not for every org."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convergence.domain.dead_letter_replay import ReplayStatus
from convergence.engine.dead_letters import feed_replays as feeding
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.dead_letters.feed_replays import feed_replays_due
from convergence.engine.services import EngineSettings
from convergence.engine.views.dead_letter_replays import replay_view
from tests.unit.engine.conftest import Engine
from tests.unit.engine.dead_letter_outage import DAYS, Source, outage, request, to_its_end

ORGS = ("alpha", "beta", "gamma", "delta")


def test_a_full_installation_is_asked_once_in_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path, EngineSettings(runs_max=1))
    engine.pipeline(DAYS)
    source, asked = Source(engine), list[str]()
    replay = replay_dead_letter

    async def counted(services: Any, org: str, *given: Any, **more: Any) -> Any:
        asked.append(org)
        return await replay(services, org, *given, **more)

    monkeypatch.setattr(feeding, "replay_dead_letter", counted)

    async def scenario() -> None:
        for org in ("busy", *ORGS):
            await engine.org(org)
        for org in ORGS:
            await outage(engine, 1, org)
        source.held, source.away = "busy", False
        long = await engine.start(org="busy", idempotency_key="long")
        made = await replays.create(engine.services, request(org=None))
        for _ in range(3):
            await engine.clock.sleep(16)
            await feed_replays_due(engine.services)
        assert set(asked) == {ORGS[-1]}, "the latest one, and no other in its place"
        going = (await replays.require_replay(engine.services, None, made.replay_id)).replay
        assert "of the installation (1) reached" in str(replay_view(going)["waits_for"])
        source.held = ""
        await engine.worker.wait("busy", long.run_id)
        done = await to_its_end(engine, made)
        assert (done.status, done.completed, done.refused) == (ReplayStatus.DONE, len(ORGS), 0)

    engine.run_scenario(scenario)
