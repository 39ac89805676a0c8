"""A data directory of release 0.1 opens: its runs, rows, credential and dead letter are there, its failed run replays.

`release_0_1.tar.xz` is what that release left after `convergence demo` for two days and a run whose provider was away.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.gated_sandbox import listening

ARCHIVE = Path(__file__).with_name("release_0_1.tar.xz")
FAILED, DONE = "run_fea6f62d3fc762149592", "run_7ddb39ec71820cf3c4c6"


@pytest.fixture
def older(tmp_path: Path) -> Installation:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    return Installation(tmp_path / "data")


@pytest.fixture
def sandbox() -> Iterator[str]:
    with listening() as (_, base_url):
        yield base_url


def test_runs_rows_and_dead_letters_are_there(older: Installation) -> None:
    runs = {run["run_id"]: run["status"] for run in older.json("history", "demo")["runs"]}
    assert (runs[FAILED], runs[DONE], len(runs)) == ("failed", "completed", 3)
    (sums,) = older.json("query", "demo", "SELECT COUNT(*) AS n, SUM(BilledCost) AS cost FROM cost_data_standard_1_3")[
        "rows"
    ]
    assert (sums["n"], sums["cost"]) == (186, "51.73696651")
    steps = {step["step_id"]: step for step in older.json("status", FAILED)["steps"]}
    assert (steps["extract_usage"]["status"], steps["extract_usage"]["attempts"]) == ("failed", 3)
    assert steps["convert_focus"]["status"] == "cancelled"
    (dead_letter,) = older.json("dead-letters", "demo")["dead_letters"]
    assert dead_letter["run_id"] == FAILED


def test_the_stored_credential_opens_and_the_failed_run_replays(older: Installation, sandbox: str) -> None:
    replayed = older.json("replay", FAILED, "--latest", "--param", f"api_base_url={sandbox}")
    assert (replayed["status"], replayed["epoch"]) == ("completed", 1)
    (days,) = older.json(
        "query", "demo", "SELECT COUNT(DISTINCT x_pipeline_run_date) AS days FROM cost_data_standard_1_3"
    )["rows"]
    assert days["days"] == 3
