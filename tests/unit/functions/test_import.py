"""A cold instance: what the step function imports, and how long that takes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# 0.8 s in processes that do nothing (20.5 ms each where it was measured). Measured: 26, of which functions-framework
# is 13; Google's clients would add 14.
RATIO_MAX = 39
BUILD = """
import json, sys
from pathlib import Path
import functions_framework.aio
sys.path.insert(0, {folder!r})
import main
from convergence.bootstrap.functions import parts
from convergence.config.files.functions import read_function
from convergence.config.settings.functions import FunctionSettings
parts(read_function(Path({folder!r})), FunctionSettings(), lambda: None, check=None)
print(json.dumps(sorted(sys.modules)))
"""


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout


def seconds(code: str) -> float:
    """Return the processor time of a process, the least of five: others on this machine must not count."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(5))


def test_building_the_step_function_imports_no_cloud_client_and_no_database() -> None:
    modules = json.loads(python(BUILD.format(folder=str(ROOT / "functions" / "step"))))
    heavy = (
        "google.cloud",
        "google.api_core",
        "google.auth",
        "grpc",
        "duckdb",
        "sqlglot",
        "fastapi",
        "httpx",
        "cryptography",
    )
    assert "convergence.engine.step.run_step" in modules
    own = "google.cloud.functions"  # names that functions-framework brings itself
    assert not [
        name for name in modules if name.startswith(heavy) and not name.startswith(own) and name != "google.cloud"
    ]


def test_the_step_function_is_imported_within_its_share_of_a_cold_start() -> None:
    folder = str(ROOT / "functions" / "step")
    empty = seconds("pass")
    whole = seconds(f"import sys; sys.path.insert(0, {folder!r}); import main")
    assert whole / empty < RATIO_MAX, f"{whole * 1000:.0f} ms, an empty process takes {empty * 1000:.0f} ms"
