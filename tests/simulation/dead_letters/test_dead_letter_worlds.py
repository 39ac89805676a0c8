"""Worlds in which dead letters are discarded while their runs are replayed, and what breaks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convergence.engine.dead_letters import close
from tests.simulation.dead_letters.world import DeadLetterWorld

WORLDS = 40


def broken(folder: Path, worlds: int = WORLDS) -> list[int]:
    """Return the seeds of the worlds that broke."""
    found = []
    for seed in range(worlds):
        try:
            DeadLetterWorld(seed, folder / str(seed)).run()
        except AssertionError:
            found.append(seed)
    return found


def test_what_was_replayed_is_not_discarded_and_is_replayed_once(tmp_path: Path) -> None:
    seen: set[str] = set()
    for seed in range(WORLDS):
        world = DeadLetterWorld(seed, tmp_path / str(seed))
        world.run()
        seen |= world.seen
    assert {"discarded", "replayed", "completed"} <= seen, "all of it happens"


def test_worlds_break_without_the_runs_in_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters are closed as their runs were when they were read."""
    writes: Any = vars(close)["_writes"]

    async def letters_alone(*given: Any) -> Any:
        letters, _ = await writes(*given)
        return letters, []

    monkeypatch.setattr(close, "_writes", letters_alone)
    assert broken(tmp_path), "no world noticed"
