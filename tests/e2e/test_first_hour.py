"""docs/first-hour.md, followed line by line: from nothing to a pipeline, provider, procedure and processor that run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import convergence
from tests.emulators.functions import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "first-hour.md").read_text("utf-8")
BLOCK = re.compile(r"(?:^`(?P<file>[\w./-]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
PORT = "8123"
# An installation needs no index here: everything that the package asks for is there.
INSTALL = "--quiet --no-deps --no-build-isolation --no-index --target"


class Newcomer:
    """Does what the page says, in a shell of its own."""

    def __init__(self, home: Path) -> None:
        self.where = home
        self.shown: dict[str, str] = {}
        self._site = home / "site"
        self._port = str(free_port())
        self._background: list[subprocess.Popen[bytes]] = []
        product = Path(convergence.__file__).parents[1]
        self.environment = {name: os.environ[name] for name in ("LANG",) if name in os.environ} | {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self._site}:{product}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def write(self, name: str, text: str) -> None:
        """Write a file as the page shows it."""
        path = self.where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(PORT, self._port), "utf-8")

    def do(self, line: str) -> None:
        """Do one line; none may fail, and none may warn."""
        words = line.replace(PORT, self._port)
        if words.startswith("cd "):
            self.where /= words.removeprefix("cd ")
        elif words.startswith("export "):
            name, _, value = words.removeprefix("export ").partition("=")
            self.environment[name] = value
        elif words.endswith(" &"):
            self._serve(shlex.split(words.removesuffix(" &")))
        else:
            words = words.replace(
                "pip install -e ", f"python -m pip install {INSTALL} {shlex.quote(str(self._site))} ./"
            )
            done = subprocess.run(
                words, shell=True, cwd=self.where, env=self.environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert "warning" not in done.stderr.lower(), f"{line}\n{done.stderr}"
            self.shown[line] = done.stdout

    def json(self, *words: str) -> dict[str, object]:
        """Return what a command answers to a program."""
        call = [sys.executable, "-m", "convergence", *words, "--json"]
        done = subprocess.run(call, cwd=self.where, env=self.environment, capture_output=True, text=True, check=True)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def _serve(self, words: list[str]) -> None:
        served = subprocess.Popen(
            [sys.executable, *words[1:]], cwd=self.where, env=self.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._background.append(served)
        assert served.stdout is not None
        assert b"Serving HTTP" in served.stdout.readline()

    def leave(self) -> None:
        """Stop what runs in the background."""
        for each in self._background:
            each.terminate()
            each.communicate()


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """A newcomer, who has no file yet."""
    someone = Newcomer(tmp_path)
    yield someone
    someone.leave()


def test_the_page_goes_from_nothing_to_own_files_that_run(newcomer: Newcomer) -> None:
    for block in BLOCK.finditer(PAGE):
        if block["kind"] != "bash":
            assert block["file"], f"the page does not say where this goes:\n{block['text']}"
            newcomer.write(block["file"], block["text"])
            continue
        for line in block["text"].splitlines():
            newcomer.do(line)
    shown = newcomer.shown
    (usage,) = [text for line, text in shown.items() if "FROM initech_usage_daily_raw" in line]
    assert [line.split() for line in usage.splitlines()[1:]] == [["1", "500"], ["2", "700"]]
    (totals,) = [text for line, text in shown.items() if "FROM initech_usage_total" in line]
    assert totals.splitlines()[1].split() == ["2", "1200"]
    assert "4 passed" in shown["python -m pytest tests initech_convergence/tests"]
    runs = newcomer.json("history", "acme")["runs"]
    assert isinstance(runs, list)
    assert [(run["pipeline"], run["status"]) for run in reversed(runs)] == [
        ("acme/usage/hello", "completed"),
        ("initech/auth/setup", "completed"),
        ("initech/usage/daily", "completed"),
        ("initech/usage/totals", "completed"),
        ("initech/usage/greeting", "completed"),
    ]


def test_the_page_has_a_section_for_each_kind_of_file_of_ones_own() -> None:
    for kind in ("pipeline", "provider", "procedure", "processor"):
        assert f"\n## A {kind}\n" in PAGE
        assert f"convergence new {kind} " in PAGE
