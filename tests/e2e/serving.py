"""A server in a process of its own, as `convergence serve` starts it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import Installation

ROOT_KEY = "root-key-of-the-tests-with-more-than-32-characters"
OPERATOR = {"X-CA-Root-Key": ROOT_KEY}


@contextmanager
def serving(installation: Installation, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and the URL of its API."""
    with installation.started("serve", "--port", "0", **({"CONVERGENCE_ROOT_KEY": ROOT_KEY} | more)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving  http://"), (line, process.communicate())
        yield process, line.split()[1]
