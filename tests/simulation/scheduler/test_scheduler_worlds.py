"""Schedules, queue and backfills in hostile worlds; without one of their safeguards, worlds break."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.faults import CALM, EVERY_FAULT, Odds
from tests.simulation.scheduler import removals, world
from tests.simulation.scheduler.removals import Removal
from tests.simulation.scheduler.world import SchedulerWorld, Setting

FIRST = int(os.environ.get("SEED", "0"))
WORLDS = int(os.environ.get("SCHEDULER_WORLDS", "1" if "SEED" in os.environ else "300"))
BATCH = 50
TRIES = 120

FIRING = Setting(schedules=3, backfills=0)
FED = Setting(schedules=0, backfills=3)
# Short runs, one backfill in each org: what is forgotten is not found by what comes after it.
ENQUEUED = Setting(schedules=0, backfills=8, orgs=8, run_s=(0.5, 20))
BLOCKED = Setting(schedules=0, backfills=4, orgs=4, org_max=1)
CAPPED = Setting(schedules=2, backfills=2, runs_max=2, provider_max=1)
FAIR = Setting(schedules=0, backfills=2, orgs=2, runs_max=1, run_s=(60, 60), fair=True)
GENERAL = Setting(pauses=None, starters=None, chained=None)
PAUSED = Setting(schedules=0, backfills=0, pauses=2, starters=6, orgs=1, org_max=9)
HELD = Setting(schedules=0, backfills=6, pauses=2, orgs=1, org_max=3, run_s=(5, 60))
CHAINED = Setting(schedules=3, backfills=0, chained=True)
RACING = replace(FAIR, backfills=8, instances=6, runs_max=2, org_max=99, provider_max=99, run_s=(0.5, 5))
AREAS: dict[str, tuple[Odds, Setting, float]] = {
    "firing": (EVERY_FAULT, FIRING, 0.0),
    "slow": (Odds(slow=0.05, unavailable=0.03), FIRING, 0.0),
    "skewed": (Odds(kill=0), Setting(schedules=3, backfills=0, recreates=True), 60.0),
    "fed": (EVERY_FAULT, FED, 0.0),
    "interrupted": (Odds(unavailable=0.2), FED, 0.0),
    "away": (Odds(unavailable=0.2), FIRING, 0.0),
    "enqueued": (replace(CALM, slow=0.05, slow_max_s=60, message_lost=0.4), ENQUEUED, 0.0),
    "blocked": (replace(CALM, message_lost=0.4), BLOCKED, 0.0),
    "paused": (Odds(slow=0.2, slow_max_s=60), PAUSED, 0.0),
    "held": (Odds(slow=0.2, slow_max_s=60), HELD, 0.0),
    "chained": (EVERY_FAULT, CHAINED, 0.0),
    "capped": (EVERY_FAULT, CAPPED, 0.0),
    "fair": (CALM, FAIR, 0.0),
    "racing": (replace(CALM, slow=0.3, slow_max_s=4, message_delay_max_s=0.1), RACING, 0.0),
}


@pytest.mark.parametrize("first", range(FIRST, FIRST + WORLDS, BATCH))
def test_each_firing_slice_and_place_is_accounted_for(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + BATCH, FIRST + WORLDS)):
        try:
            SchedulerWorld(seed, key_file=tmp_path / "key", setting=GENERAL).run()
        except BaseException as error:
            raise AssertionError(f"scheduler world {seed} broke ({error})") from error


def first_broken(area: str, key_file: Path, worlds: int) -> int | None:
    """Return the first world of an area that breaks, or None."""
    odds, setting, skew_s = AREAS[area]
    for seed in range(worlds):
        try:
            SchedulerWorld(seed, key_file=key_file, odds=odds, setting=setting, skew_s=skew_s).run()
        except AssertionError:
            return seed
    return None


@pytest.mark.parametrize("area", AREAS)
def test_with_all_safeguards_the_worlds_of_an_area_hold(area: str, tmp_path: Path) -> None:
    assert first_broken(area, tmp_path / "key", 10) is None


@pytest.mark.parametrize(
    ("removal", "area"),
    [
        (removals.no_version_of_a_schedule, "slow"),
        (removals.no_memory_of_firings, "skewed"),
        (removals.no_place_for_instants_that_wait_for_their_jitter, "firing"),
        (removals.no_word_of_an_edit_in_what_is_decided, "firing"),
        (removals.no_patience_with_the_store, "away"),
        (removals.no_fence_of_enqueues, "enqueued"),
        (removals.no_next_check_of_a_blocked_org, "blocked"),
        (removals.no_single_commit_of_a_backfill, "interrupted"),
        (removals.no_word_of_a_pause_in_the_usage, "paused"),
        (removals.no_look_at_pauses_in_the_start, "paused"),
        (removals.no_fence_of_pauses, "held"),
        (removals.no_single_commit_of_a_chain, "chained"),
        (removals.no_release_of_caps, "capped"),
        (removals.no_end_of_a_wait_at_an_enqueue, "blocked"),
        (removals.wakes_that_admit, "fair"),
        (removals.no_second_look_at_the_tag, "racing"),
    ],
)
def test_without_a_safeguard_worlds_break(
    removal: Removal, area: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removal(monkeypatch)
    monkeypatch.setattr(world, "CALM_MAX_S", 4 * 3600.0)  # what never ends is seen soon
    assert first_broken(area, tmp_path / "key", TRIES) is not None, f"{removal.__name__}: no world noticed"
