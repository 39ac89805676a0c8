"""Worlds in which a replay of all orgs meets orgs without room, and what breaks them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergence.domain.records import changed
from convergence.engine.dead_letters import feed_replays
from convergence.errors import QuotaExceeded, Transient
from tests.simulation.dead_letters.full_orgs import FullOrgsWorld

WORLDS = 25


def broken(folder: Path, worlds: int = WORLDS) -> int | None:
    """Return the seed of the first world that broke."""
    for seed in range(worlds):
        try:
            FullOrgsWorld(seed, folder / str(seed)).run()
        except AssertionError:
            return seed
    return None


def no_passing_over(patch: pytest.MonkeyPatch) -> None:
    """What has no room stays in the window."""
    replay_one: Any = vars(feed_replays)["_replay_one"]

    async def in_its_place(*given: Any) -> None:
        try:
            await replay_one(*given)
        except QuotaExceeded as error:
            raise Transient(str(error)) from error

    patch.setattr(feed_replays, "_replay_one", in_its_place)


def no_coming_back(patch: pytest.MonkeyPatch) -> None:
    """What was passed over is not looked for again."""
    judged: Any = vars(feed_replays)["_judged"]

    def forgetful(counted: Any) -> Any:
        return judged(counted._replace(replay=changed(counted.replay, passed_over=False)))

    patch.setattr(feed_replays, "_judged", forgetful)


def no_search_from_where_they_were(patch: pytest.MonkeyPatch) -> None:
    """What stands behind a run without room in its page is passed over with it."""
    start: Any = vars(feed_replays)["_start"]

    async def onward(services: Any, stored: Any, before: Any) -> Any:
        return await start(services, stored, stored.replay)

    patch.setattr(feed_replays, "_start", onward)


def no_memory_of_the_refused(patch: pytest.MonkeyPatch) -> None:
    """What cannot be replayed is taken up each time that the rest is looked through."""
    take: Any = vars(feed_replays)["_take"]

    async def forgetful(services: Any, replay: Any) -> Any:
        return await take(services, changed(replay, refused_ids=()))

    patch.setattr(feed_replays, "_take", forgetful)


REMOVALS = [no_passing_over, no_coming_back, no_search_from_where_they_were, no_memory_of_the_refused]


def test_orgs_with_room_wait_for_no_other_and_none_is_forgotten(tmp_path: Path) -> None:
    seen: set[str] = set()
    for seed in range(WORLDS):
        world = FullOrgsWorld(seed, tmp_path / str(seed))
        world.run()
        seen |= world.seen
    assert seen == {"died", "stopped", "waited"}, "all of it happens"


@pytest.mark.parametrize("removed", REMOVALS)
def test_without_a_safeguard_worlds_break(
    removed: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed(monkeypatch)
    assert broken(tmp_path) is not None, f"{removed.__name__}: no world noticed"
