"""`convergence init` makes a folder; hidden files that are there already do not matter, and none is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.entry.conftest import Cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """An empty folder, in which the command is called."""
    made = tmp_path / "costs"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def test_a_data_directory_that_an_earlier_command_left_does_not_matter(cli: Cli, folder: Path) -> None:
    assert cli("org", "create", "acme").code == 0
    (folder / ".git").mkdir()
    done = cli("init", ".", "--minimal")
    assert (done.code, "  cd " in done.out) == (0, False), done.err
    assert f"made {folder}. Next:" in done.out
    assert cli("run", "acme", "example/hello").code == 0


def test_what_is_there_is_named_and_never_written_over(cli: Cli, folder: Path) -> None:
    (folder / ".gitignore").write_text("mine\n")
    refused = cli("init", ".")
    assert (refused.code, f"{folder} has .gitignore already" in refused.err) == (2, True)
    (folder / "notes.txt").touch()
    refused = cli("init", ".")
    assert (refused.code, f"{folder} is not empty: it has notes.txt" in refused.err) == (2, True)
    assert (folder / ".gitignore").read_text() == "mine\n"
    assert not (folder / "configs").exists()
