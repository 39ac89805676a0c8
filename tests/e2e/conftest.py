"""The program as people start it: a process of its own, on a data directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
LOOK_S = 0.02  # between two looks: who looks without a pause takes a core from those who work
COMMAND = (sys.executable, "-m", "convergence")


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of the product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVERGENCE_")}
    kept.pop("OPENAI_ADMIN_KEY", None)
    return {**kept, "PYTHONPATH": str(ROOT / "shared"), **more}


class Installation:
    """A data directory, and the command that works on it."""

    patience_s = PATIENCE_S  # for one command

    def __init__(self, data_dir: Path, configs: Path = ROOT / "configs") -> None:
        self.data_dir = data_dir
        self.configs = configs

    def argv(self, *words: str) -> list[str]:
        """The whole command line."""
        return [*COMMAND, "--data-dir", str(self.data_dir), "--configs", str(self.configs), *words]

    @contextmanager
    def started(self, *words: str, **more: str) -> Iterator[subprocess.Popen[str]]:
        """Begin a command; whatever is left of it at the end is killed."""
        pipe = subprocess.PIPE
        with interrupts_reach_children():
            process = subprocess.Popen(self.argv(*words), stdout=pipe, stderr=pipe, text=True, env=environment(**more))
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def call(self, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and check its exit code."""
        done = subprocess.run(
            self.argv(*words),
            capture_output=True,
            text=True,
            env=environment(**more),
            timeout=self.patience_s,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words: str, code: int = 0, **more: str) -> Any:
        """Run a command and read its answer."""
        return json.loads(self.call(*words, "--json", code=code, **more).stdout)

    def rows(self, org: str, table: str) -> list[Mapping[str, Any]]:
        """All rows of a table, in an order of their own, without what names the moment of writing."""
        found = self.json("query", org, f"SELECT * EXCEPT (x_ingested_at, x_ingestion_date) FROM {table}")["rows"]
        return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))


@contextmanager
def interrupts_reach_children() -> Iterator[None]:
    """Let a new process receive Ctrl-C, also where a shell started this one in the background, ignoring it.

    An ignored signal stays ignored across `exec`, one with a handler gets its default. A `preexec_fn` could do the
    same, but it runs between fork and exec, where the threads of gRPC do not allow for Python code.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def until(
    condition: Callable[[], bool], process: subprocess.Popen[Any], what: str, *, patience_s: float = PATIENCE_S
) -> None:
    """Return when the condition holds; look often, give up at a deadline or when the process has ended."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()}"
        assert time.monotonic() < deadline, f"never: {what}"
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
