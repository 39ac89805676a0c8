"""The README's first screen holds what it promises, and its commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.partition("#")[0].strip()
    for kind, text in BLOCKS
    if kind == "bash"
    for line in text.splitlines()
    if line.startswith("convergence ")
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A demo that has run, as the environment for the README's commands."""
    environment = {
        **os.environ,
        "CONVERGENCE_DATA_DIR": str(tmp_path_factory.mktemp("demo") / "data"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("OPENAI_ADMIN_KEY", None)
    subprocess.run(["convergence", "demo"], cwd=ROOT, env=environment, check=True, capture_output=True)
    return environment


def test_the_first_screen_shows_a_pipeline_and_two_commands() -> None:
    (first, pipeline), (second, commands) = BLOCKS[:2]
    assert (first, second) == ("yaml", "bash")
    assert len(pipeline.splitlines()) <= 12
    assert [step["ps_type"] for step in yaml.safe_load(pipeline)["steps"]] == ["openai.usage", "openai.cost"]
    assert [line.split("#")[0].strip() for line in commands.splitlines()] == ["make run", "make test"]
    assert README.index("make test") < 2_000


@pytest.mark.parametrize(
    "target", ["run", "demo-all", "up-gcp", "test", "check", "sim", "bench", "lock", "prices", "schema"]
)
def test_make_knows_its_targets(target: str) -> None:
    listing = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"make {target} " in listing.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str, demo: dict[str, str]) -> None:
    done = subprocess.run(shlex.split(command), cwd=ROOT, env=demo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


OPERATIONS = [
    line.partition("#")[0].strip()
    for line in (ROOT / "docs" / "operations.md").read_text().splitlines()
    if line.startswith("convergence ")
]


@pytest.mark.parametrize("command", OPERATIONS)
def test_a_command_of_the_runbook_is_one_that_exists(command: str, demo: dict[str, str]) -> None:
    history = ["convergence", "--json", "history", "demo"]
    listed = subprocess.run(history, cwd=ROOT, env=demo, check=True, capture_output=True, text=True)
    run_id = json.loads(listed.stdout)["runs"][0]["run_id"]
    words = shlex.split(command.replace("ORG", "demo").replace("RUN", run_id))
    done = subprocess.run(words, cwd=ROOT, env=demo, check=False, capture_output=True, text=True)
    # The demo's run completed, so its replay is refused; any other complaint means that the runbook is wrong.
    assert done.returncode == 0 or "only failed and cancelled runs can be replayed" in done.stderr, done.stderr
