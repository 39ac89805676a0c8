"""A newcomer's path: a folder of your own, then a file of each kind, and no error on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convergence
from tests.unit.entry.conftest import Cli


@pytest.fixture
def own(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder, which is the current one."""
    folder = tmp_path / "costs"
    assert cli("init", str(folder), "--minimal").code == 0
    monkeypatch.chdir(folder)
    return folder


def test_a_newcomer_gets_from_nothing_to_files_of_each_kind_whose_tests_pass(cli: Cli, own: Path) -> None:
    for words in (
        ("pipeline", "acme/usage/hello"),
        ("provider", "initech"),
        ("procedure", "sp_acme_totals"),
        ("processor", "acme.invoices"),
    ):
        made = cli("new", *words)
        assert made.code == 0, made.err
        assert "next: " in made.out
    checked = cli("validate")
    assert (checked.code, checked.err) == (0, "")
    assert cli("org", "create", "acme").code == 0
    assert cli("run", "acme", "acme/usage/hello", "-p", "note=hi").code == 0
    assert "initech" in cli("pipelines", "initech").out
    files = [
        file for file in own.rglob("*") if file.suffix in {".yml", ".py", ".sql", ".toml"} and "initech" in str(file)
    ]
    assert "initech_usage_daily_raw" in "".join(file.read_text() for file in files)
    left = re.compile(
        r"(?<![A-Z])(NAME|IDENTIFIER|MODULE|PACKAGE|FOLDER|TITLE|KEBAB|PS_TYPE|SCHEMA|PATHS|CLASS|PROVIDER)(?![A-Z])"
    )
    texts = [file.read_text() for file in own.rglob("*") if file.suffix in {".yml", ".py", ".sql", ".toml"}]
    assert [text for text in texts if left.search(text)] == []
    here = {**os.environ, "PYTHONPATH": str(Path(convergence.__file__).parents[1])}
    for folder, count in ((own, 3), (own / "acme_convergence", 1)):
        call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        done = subprocess.run(call, cwd=folder, env=here, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, f"{count} passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pipeline", "hello"), "two to four segments"),
        (("provider", "Acme Inc"), "lower-case letters"),
        (("procedure", "sp-x; DROP"), "lower-case letters"),
        (("processor", "invoices"), "PROVIDER.MODULE, as acme.invoices; 'invoices' has no dot"),
        (("processor", "acme."), "PROVIDER.MODULE; each part must have only lower-case letters"),
        (("pipeline", "../../x"), "two to four segments"),
        (("pipeline", "example/hello"), "exists already"),
        (("pipeline", "configs/acme/hello"), "begins below the folder configs: acme/hello"),
        (("provider", "generic"), "is a processor of the product"),
        (("processor", "acme.class"), "a keyword of Python"),
        (("processor", "generic.noop"), "is called 'generic.noop' already"),
    ],
)
def test_a_wrong_name_writes_nothing(cli: Cli, own: Path, words: tuple[str, ...], message: str) -> None:
    before = sorted(own.rglob("*"))
    refused = cli("new", *words)
    assert (refused.code, message in refused.err) == (2, True), refused.err
    assert sorted(own.rglob("*")) == before
