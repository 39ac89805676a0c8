"""The real engine in hostile worlds. A failure names its seed: `make sim SEED=…` lives through it again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.world import World

FIRST = int(os.environ.get("SEED", "0"))
WORLDS = int(os.environ.get("WORLDS", "1" if "SEED" in os.environ else "2000"))
BATCH = 50


@pytest.mark.parametrize("first", range(FIRST, FIRST + WORLDS, BATCH))
def test_every_run_ends_right_whatever_the_world_does(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + BATCH, FIRST + WORLDS)):
        try:
            World(seed, key_file=tmp_path / "key").run()
        except BaseException as error:
            raise AssertionError(f"world {seed} broke ({error}); again: make sim SEED={seed}") from error
