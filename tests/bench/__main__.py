"""Measure one shape, or all, and print one JSON line each."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench import (
    api,
    cold,
    dashboard,
    engine,
    extract,
    file,
    gate,
    history,
    load,
    long,
    orgs,
    past,
    procedure,
    schedule,
)
from tests.bench.fleet import report as fleet

SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "chain": partial(engine.measure, "chain", engine.chain),
    "fan": partial(engine.measure, "fan", engine.fan),
    "many": partial(engine.measure, "many", engine.many),
    "chain-full": partial(engine.measure, "chain", engine.chain, "FULL"),
    "fan-full": partial(engine.measure, "fan", engine.fan, "FULL"),
    "many-full": partial(engine.measure, "many", engine.many, "FULL"),
    "api": api.measure,
    "cold": cold.measure,
    "dashboard": dashboard.measure,
    "long": long.measure,
    "load": load.measure,
    "load-1m": partial(load.measure, 1_000_000),
    "past": past.measure,
    "procedure": procedure.run,
    "extract": extract.measure,
    "extract-1m": partial(extract.measure, 1_000_000),
    "file": file.measure,
    "file-3m": partial(file.measure, "csv", 3_000_000),
    "file-parquet": partial(file.measure, "parquet"),
    "gate": gate.measure,
    "history": history.measure,
    "schedule": schedule.schedules,
    "reconcile": schedule.runs,
    "fleet": fleet.measure,
    "orgs": orgs.measure,
    "orgs-100": partial(orgs.measure, 100),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("shape", nargs="?", default="all", choices=["all", *SHAPES])
    shape = parser.parse_args().shape
    if shape != "all":
        print(json.dumps(SHAPES[shape]()), flush=True)
        return 0
    # A process for each: peak memory is a process's own.
    return max(subprocess.run([sys.executable, "-m", "tests.bench", name], check=False).returncode for name in SHAPES)


if __name__ == "__main__":
    sys.exit(main())
