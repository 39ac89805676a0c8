"""BigQuery's stand-in: local-bigquery in a process of its own, out of the environment that `make emulators` makes.

Where it is not BigQuery: it bills and counts no bytes, so byte limits never strike; partition decorators make tables
of their own. Projects are apart from each other, so a test takes a project of its own instead of a server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.emulators.environment import EXTENSIONS, python_of

REQUIRED: Final = "CONVERGENCE_REQUIRE_EMULATORS"
_START_S: Final = 180.0
_LOOK_S: Final = 0.1
# DuckDB's extensions come from wheels, once for each home folder.
_IMPORT: Final = "import sys, duckdb_extensions as all; [all.import_extension(name) for name in sys.argv[1:]]"


class BigQueryServer:
    """One process; `folder` holds its data and is its home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> str:
        """Start it; return `host:port`. Raises `RuntimeError` where there is no environment, or it does not start."""
        python = python_of()
        if python is None:
            raise RuntimeError("no emulator's environment: run `make emulators` (needs Python 3.13 or newer)")
        port = port or _free_port()
        home = {**os.environ, "HOME": str(self._folder)}
        subprocess.run([python, "-c", _IMPORT, *EXTENSIONS], check=True, env=home, capture_output=True)
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        command: list[str | Path] = [
            python,
            "-P",
            Path(__file__).with_name("bigquery_process.py"),
            "--host",
            "127.0.0.1",
        ]
        command += ["--port", str(port)]
        command += ["--grpc-port", str(_free_port()), "--project", "p", "--data-dir", data]
        self._process = subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
            except urllib.error.HTTPError:
                return f"127.0.0.1:{port}"  # it answers
            except OSError:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LOOK_S)
        raise RuntimeError("the emulator did not answer")

    def stop(self) -> None:
        """End it, whatever it is doing: it waits for statements whose callers have gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def required() -> None:
    """Skip aloud where there is no environment; fail there when CI asks for it."""
    if python_of() is None:
        if os.environ.get(REQUIRED):
            pytest.fail("no emulator's environment: run `make emulators`")
        pytest.skip("no emulator's environment: run `make emulators` (needs Python 3.13 or newer)")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Yield the address of a server, as far as `required` allows."""
    required()
    server = BigQueryServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
