"""Procedures follow their files before the first call of a process, and a wrong one is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from convergence.engine.services import EngineSettings
from convergence.engine.step.routines import ensure_routines
from convergence.errors import StepFailed
from convergence.ports.warehouse import Routine
from tests.unit.engine.conftest import Engine

PROCEDURE = "CREATE OR REPLACE PROCEDURE `{{project_id}}.{{dataset}}.{name}`()\nBEGIN\n  SELECT 1;\nEND;\n"


@pytest.fixture
def synced(tmp_path: Path) -> tuple[Engine, list[str], set[str]]:
    """Return an engine with three procedures, the names that were synchronised, and those that are wrong."""
    folder = tmp_path / "system" / "procedures"
    folder.mkdir(parents=True)
    for name in ("sp_a", "sp_b", "sp_c"):
        (folder / f"{name}.sql").write_text(PROCEDURE.format(name=name))
    engine = Engine(tmp_path, EngineSettings(sole_process=True))
    asked: list[str] = []
    wrong = {"sp_b"}

    async def sync(routines: Sequence[Routine], *, force: bool = False) -> list[str]:
        asked.extend(routine.name for routine in routines)
        if any(routine.name in wrong for routine in routines):
            raise StepFailed("a syntax error")
        return [routine.name for routine in routines]

    engine.warehouse.sync_routines = sync  # type: ignore[method-assign]
    return engine, asked, wrong


def test_all_are_synchronised_once_and_a_wrong_one_stops_its_own_calls_only(
    synced: tuple[Engine, list[str], set[str]],
) -> None:
    engine, asked, wrong = synced

    async def scenario() -> None:
        await ensure_routines(engine.services, "sp_a")
        assert sorted(asked) == ["sp_a", "sp_b", "sp_c"]
        asked.clear()
        await ensure_routines(engine.services, "sp_c")
        assert asked == []
        with pytest.raises(StepFailed, match="a syntax error"):
            await ensure_routines(engine.services, "sp_b")
        assert asked == ["sp_b"], "it is tried again, and no other"
        wrong.clear()
        await ensure_routines(engine.services, "sp_b")
        asked.clear()
        await ensure_routines(engine.services, "sp_b")
        assert asked == [], "it is right now"

    engine.run_scenario(scenario)
