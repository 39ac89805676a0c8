"""Pausing a pipeline on the command line, by the commands in the docs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.unit.entry.conftest import Cli

DOCS = Path(__file__).parents[3] / "docs" / "scheduling.md"


def test_the_commands_of_the_docs_pause_a_pipeline_and_resume_it(cli: Cli) -> None:
    section = DOCS.read_text(encoding="utf-8").split("## Pausing a pipeline\n")[1]
    commands = re.findall(r"^convergence (.+)$", section.split("```")[1], re.MULTILINE)
    assert cli("org", "create", "acme").code == 0
    pause, paused, resume = (shlex.split(each) for each in commands)
    found = cli("--json", *pause)
    assert (found.code, found.data) == (
        0,
        {"paused": [{"pipeline": "example/hello", "reason": "figures are being restated"}]},
    )
    refused = cli("run", "acme", "example/hello")
    assert refused.code == 1
    assert "acme is not starting runs of the paused pipeline example/hello: figures are being" in refused.err
    shown = cli(*paused)
    assert shown.code == 0
    assert "example/hello" in shown.out
    assert cli(*resume).out == "acme has no paused pipeline.\n"
    assert cli("run", "acme", "example/hello").code == 0
    again = cli(*resume)
    assert again.code == 2
    assert "example/hello is not paused for acme" in again.err
