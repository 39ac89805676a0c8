"""`convergence configs diff`: what an upgrade changed beside what you changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.unit.entry.conftest import Cli

SHIPPED = Path(__file__).parents[3] / "configs"


def test_each_difference_is_listed_and_one_file_is_shown_in_lines(cli: Cli, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(SHIPPED, own)
    assert cli("--configs", str(own), "configs", "diff").out == "your configs are the shipped ones\n"
    hello = own / "example" / "hello.yml"
    hello.write_text(hello.read_text() + "# mine\n")
    (own / "mine.yml").write_text("mine: true\n")
    (own / "openai" / "subscriptions.yml").unlink()
    listed = json.loads(cli("--configs", str(own), "configs", "diff", "--json").out)["files"]
    assert [(each["file"], each["state"]) for each in listed] == [
        ("example/hello.yml", "changed"),
        ("mine.yml", "yours"),
        ("openai/subscriptions.yml", "missing"),
    ]
    lines = cli("--configs", str(own), "configs", "diff", "example/hello.yml").out.splitlines()
    assert lines[:2] == ["--- shipped/example/hello.yml", "+++ yours/example/hello.yml"]
    assert lines[-1] == "+# mine"
    unknown = cli("--configs", str(own), "configs", "diff", "example/helo.yml")
    assert unknown.code == 2
    assert "example/hello.yml" in unknown.err
