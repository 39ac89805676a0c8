"""A tick that finds its work more than ten minutes late writes a line that an alert counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from convergence.domain.times import to_text
from convergence.engine.reconcile import reconcile
from convergence.engine.schedules.fire import fire_due
from convergence.ports.documents import Create
from tests.unit.engine.conftest import Engine

METRIC = Path(__file__).parents[3] / "infra" / "monitoring.tf"


def test_late_schedules_and_runs_are_said_and_others_are_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(tmp_path)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if " are late by " in record.getMessage()]

    async def scenario() -> None:
        for minutes in (10, 11):
            due = to_text(engine.services.clock.now() - timedelta(minutes=minutes))
            await engine.services.documents.commit(
                [Create(f"schedules/s{minutes}", {"due_at": due}), Create(f"runs/r{minutes}", {"check_at": due})]
            )
            assert await reconcile(engine.services) == 1
            with pytest.raises(TypeError):  # the rest of a schedule is not there
                await fire_due(engine.services)
            expected = [] if minutes == 10 else ["runs are late by 11 minutes", "schedules are late by 11 minutes"]
            assert lines() == expected
        await reconcile(engine.services, everything=True)
        assert len(lines()) == 2, "a restart looks at all, late or not"

    engine.run_scenario(scenario)
    assert r"^(schedules|runs) are late by" in METRIC.read_text("utf-8")
