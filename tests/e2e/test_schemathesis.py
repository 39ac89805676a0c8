"""The served document is true: whatever it allows or forbids, no answer is a 500 or breaks its schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import PATIENCE_S, Installation, environment
from tests.e2e.serving import OPERATOR, ROOT_KEY, serving

# Parameters of a pipeline, plans and cursors are judged by what is installed, not by the document: 422 is their answer.
CHECKS = """
[checks.positive_data_acceptance]
expected-statuses = [200, 201, 202, 204, 401, 403, 404, 409, 422, 429]
"""


@pytest.mark.slow
def test_no_call_that_the_document_can_make_breaks_it(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    with serving(Installation(tmp_path / "data"), RATE_LIMIT_ENABLED="false") as (_, api):
        body = {"slug": "acme", "plan": "SCALE"}
        key = httpx.post(f"{api}/organizations/onboard", json=body, headers=OPERATOR).json()["api_key"]
        program = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(tmp_path / "schemathesis.toml"),
            "run",
        ]
        keys = ["-H", f"X-API-Key: {key}", "-H", f"X-CA-Root-Key: {ROOT_KEY}"]
        done = subprocess.run(
            [*program, api.replace("/api/v1", "/openapi.json"), *keys, "--max-examples", "15", "--seed", "1"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(),
            timeout=4 * PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: " in done.stdout
