"""docs/client.ts is what the API's document says, and TypeScript accepts it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from convergence.entry.api.typescript import CALLS, client
from tests.typescript.document import app

HERE = Path(__file__).parent
CLIENT = HERE.parents[1] / "docs" / "client.ts"
USE = """
import { runPipeline, getPipelineHistory, getPipelineStatus, replayRun, ApiError } from "./client";

export async function nightly(apiKey: string): Promise<string[]> {
  const settings = { baseUrl: "https://convergence.example", apiKey };
  const started = await runPipeline(settings, "acme", "openai/cost/usage_cost", { date: "2026-11-01" }, { wait: 30 });
  if ("run_id" in started) {
    const run = await getPipelineStatus(settings, "acme", started.run_id);
    const slowest: number | null = run.steps[0].duration_ms;
    console.log(run.status, slowest);
  }
  try {
    await replayRun(settings, "acme", "run_1", { latest: true });
  } catch (error) {
    if (error instanceof ApiError) console.log(error.status, error.problem.code);
  }
  const page = await getPipelineHistory(settings, "acme", { status: "failed", limit: 10 });
  return page.runs.map((run) => run.pipeline);
}
"""
WRONG = """
import { getPipelineHistory } from "./client";
export const page = getPipelineHistory({ baseUrl: "" }, "acme", { status: "exploded" });
"""
OPTIONS = ("--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler")


def test_the_client_is_that_of_the_document() -> None:
    assert CLIENT.read_text() == client(app()), "run: make client"


def test_the_client_has_the_functions_that_front_ends_name() -> None:
    assert [each.name for each in CALLS] == [
        "runPipeline",
        "getPipelineStatus",
        "getPipelineHistory",
        "getSchedules",
        "cancelRun",
        "replayRun",
    ]


@pytest.fixture(scope="module")
def tsc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TypeScript's compiler of the version in the lock here; skips where npm or its registry is not there."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm on this machine: docs/client.ts is not compiled")
    folder = tmp_path_factory.mktemp("tsc")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot reach its registry here: docs/client.ts is not compiled")
    if done.returncode:
        pytest.skip(f"npm cannot install TypeScript here: {done.stderr.strip()[-200:]}")
    return folder


def compiled(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CLIENT, folder / "client.ts")
    (folder / "use.ts").write_text(text)
    command = ["node", "node_modules/typescript/bin/tsc", *OPTIONS, "use.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_client_compiles_strictly_and_types_answers(tsc: Path) -> None:
    done = compiled(tsc, USE)
    assert done.returncode == 0, done.stdout


def test_a_status_that_does_not_exist_is_a_mistake_to_the_compiler(tsc: Path) -> None:
    done = compiled(tsc, WRONG)
    assert done.returncode != 0
    assert "exploded" in done.stdout
