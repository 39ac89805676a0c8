"""Worlds in which runs are removed while they are replayed, and what breaks them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from convergence.domain.records import changed
from convergence.engine import replay
from convergence.engine.retention import sweep
from tests.simulation.retention.world import RetentionWorld

WORLDS = 50


@pytest.fixture(autouse=True)
def _small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run of two steps take as many commits as one of hundreds."""
    monkeypatch.setattr(sweep, "COMMIT_MAX", 2)


def broken(folder: Path, worlds: int = WORLDS) -> list[int]:
    """Return the seeds of the worlds that broke."""
    found = []
    for seed in range(worlds):
        try:
            RetentionWorld(seed, folder).run()
        except Exception:
            found.append(seed)
    return found


def test_nothing_that_runs_is_removed_and_nothing_removed_runs(tmp_path: Path) -> None:
    assert broken(tmp_path) == []


def test_worlds_differ_in_what_wins(tmp_path: Path) -> None:
    won = set()
    for seed in range(WORLDS):
        world = RetentionWorld(seed, tmp_path)
        with suppress(AssertionError):
            world.run()
        won.add(world.replayed)
    assert won == {True, False}


def without_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are removed before anything says so."""

    async def mark(_: Any, found: Any) -> Any:
        return found

    monkeypatch.setattr(sweep, "_mark", mark)


def without_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay does not look at the mark."""
    monkeypatch.setattr(replay, "refuse_removing", lambda _: None)


def without_a_look_at_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does a replay unset the time, nor does the sweep look at the status."""
    plain = changed

    def keeps_expiry(record: Any, **changes: Any) -> Any:
        changes.pop("expire_at", None)
        return plain(record, **changes)

    monkeypatch.setattr(replay, "changed", keeps_expiry)
    monkeypatch.setattr(sweep, "is_over", lambda _: True)


@pytest.mark.parametrize("remove", [without_the_mark, without_the_refusal, without_a_look_at_what_is_over])
def test_worlds_break_without_a_safeguard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: Callable[[pytest.MonkeyPatch], None]
) -> None:
    remove(monkeypatch)
    assert broken(tmp_path), "no world noticed"
