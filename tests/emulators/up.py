"""`make up-gcp`: the installation of Google Cloud on this machine, and the demo on it.

python -m tests.emulators.up [--once] [--start DATE] [--end DATE]
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.engine.views import runs as views
from convergence.entry.cli.commands.demo.figures import figures
from convergence.entry.cli.commands.demo.report import Report, print_figures
from convergence.entry.cli.commands.status import steps_table
from convergence.entry.cli.output import Output
from convergence.sandbox import Sandbox
from tests.emulators.cloud import ORG, ROOT_KEY, Cloud, cloud, demo
from tests.emulators.environment import python_of

TICK_S: Final = 60.0
DAYS: Final = 7


def main(argv: list[str]) -> int:
    """Start everything, run the demo, print its figures; stay until Ctrl-C, or with `--once` stop."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)  # noqa: TID251 - what a person means by the last days
    parser = argparse.ArgumentParser(prog="make up-gcp")
    parser.add_argument("--once", action="store_true", help="stop after the demo")
    parser.add_argument("--start", default=str(yesterday - timedelta(days=DAYS - 1)))
    parser.add_argument("--end", default=str(yesterday))
    expected = parser.parse_args(argv)
    if python_of() is None:
        print(
            "BigQuery's stand-in is not installed: run `make emulators` (needs Python 3.13 or newer)", file=sys.stderr
        )
        return 1
    with tempfile.TemporaryDirectory(prefix="convergence-gcp-") as folder, cloud(Path(folder)) as running:
        began = time.monotonic()
        key, run = demo(running, expected.start, expected.end)
        out = Output()
        out.line(Sandbox.describe())
        show(running, run, out)
        out.note(f"the demo over Google's wire took {time.monotonic() - began:.0f} s")
        if not expected.once:
            _stay(running, key, Path(folder), out)
    return 0


def show(running: Cloud, run: dict[str, Any], out: Output) -> None:
    """Print what `convergence demo` prints of a run."""

    async def report(services: Services) -> Report:
        stored = await require_run(services, ORG, run["run_id"])
        return Report(
            source=Sandbox.describe(),
            sandbox=True,
            run=await views.status(services, ORG, run["run_id"]),
            results=await views.results(services, ORG, run["run_id"]),
            figures=await figures(services, stored.run),
            log=Path("no log file: each function writes its own"),
        )

    made = running.use(report)
    out.line(f"\nRun {run['run_id']}")
    steps_table(out, made.run)
    print_figures(out, made)


def _stay(running: Cloud, key: str, folder: Path, out: Output) -> None:
    """Be Cloud Scheduler until interrupted."""
    out.line(f"\nREST API  {running.url}")
    out.line(f"  operator  X-CA-Root-Key: {ROOT_KEY}")
    out.line(f"  org {ORG}  X-API-Key: {key}")
    out.line(f"Logs      {folder}/*.log\nCtrl-C stops.")
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    while not enough.wait(TICK_S):
        running.tick()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
