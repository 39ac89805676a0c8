"""`python -m tests.bench SHAPE`: measure one shape and print one JSON line."""

from __future__ import annotations

import argparse
import json

from tests.bench import engine


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("shape", choices=["chain", "fan", "many"])
    parser.add_argument("--full", action="store_true", help="synchronous=FULL: survive a power cut")
    arguments = parser.parse_args()
    work = {"chain": engine.chain, "fan": engine.fan, "many": engine.many}[arguments.shape]
    print(json.dumps(engine.measure(arguments.shape, work, "FULL" if arguments.full else "NORMAL")))


if __name__ == "__main__":
    main()
