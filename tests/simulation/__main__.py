"""`make sim SEED=s WORLDS=n`: run worlds s … s+n−1; a world that breaks is shown and the exit code is 1."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.simulation.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="first world (default 0)")
    parser.add_argument("--worlds", type=int, default=1, help="how many worlds (default 1)")
    arguments = parser.parse_args()
    started, broken = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seed, arguments.seed + arguments.worlds):
            try:
                World(seed, key_file=Path(folder) / "key").run()
            except Exception:  # a world that breaks in any way is one that broke
                broken.append(seed)
                traceback.print_exc()
                print(f"world {seed} broke; again: make sim SEED={seed}")
    seconds = time.perf_counter() - started
    print(f"{arguments.worlds} worlds, {len(broken)} broken {broken[:20]}, {seconds:.1f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
