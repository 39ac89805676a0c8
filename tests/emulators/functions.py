"""The six functions as they are deployed: processes of functions-framework on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = ("dispatcher", "step", "dead_letter", "scheduler", "notifier", "webhook")
PROJECT: Final = "emulated"
KMS_KEY: Final = f"projects/{PROJECT}/locations/us/keyRings/convergence/cryptoKeys/credentials"
_PATIENCE_S: Final = 180.0
_LOOK_S: Final = 0.1  # between two looks


def settings(
    *, firestore: str = "", pubsub: str = "", kms: str = "", bigquery: str = "", **more: str
) -> dict[str, str]:
    """Return the settings of functions whose services are stand-ins; nothing of this process's own settings stays."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "shared"),
        "GCP_PROJECT_ID": PROJECT,
        "KMS_KEY_NAME": KMS_KEY,
        "CONVERGENCE_CONFIGS": str(ROOT / "configs"),
        "CONVERGENCE_FIRESTORE_ENDPOINT": firestore,
        "CONVERGENCE_PUBSUB_ENDPOINT": pubsub,
        "CONVERGENCE_KMS_ENDPOINT": kms,
        "CONVERGENCE_BIGQUERY_ENDPOINT": bigquery,
        **more,
    }


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FunctionProcess:
    """One instance of a function. Its log is a file: an unread pipe would stop it.

    `folder` is its source (without one: that of this checkout), `python` the interpreter of its environment.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        folder: Path | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self.name, self.log = name, log
        self._source = (folder or ROOT / "functions" / name) / "main.py"
        self._python = python
        self._environment = dict(environment)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def start(self) -> None:
        """Start the process; return when it answers."""
        self.begin()
        self.await_start()

    def begin(self) -> None:
        """Start the process."""
        words = ["--target", "main", "--source", str(self._source), "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._python), "-m", "functions_framework", *words],
                env={**self._environment, "K_SERVICE": self.name, "CONVERGENCE_PUSH_AUDIENCE": self.url},
                stdout=log,
                stderr=log,
                cwd=self._source.parent,
                start_new_session=True,  # so that a kill reaches server and worker
            )

    def await_start(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert time.monotonic() < deadline, f"{self.name} never answered:\n{self.output()}"
            self.work_on(_LOOK_S)

    def work_on(self, seconds: float) -> None:
        """Let it work undisturbed for so long; it must not end meanwhile."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            raise AssertionError(f"{self.name} ended:\n{self.output()}")

    def output(self) -> str:
        """Return its log so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def kill(self) -> None:
        """End it as a machine ends: at once."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """Tell it to end; return its exit code when it did."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        return process.wait(_PATIENCE_S)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=10).status_code == 200
        except httpx.TransportError:
            return False
