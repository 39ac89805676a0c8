"""The command in odd surroundings: another folder, no HOME, LANG=C, a reader that is gone, Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import convergence

PRODUCT = Path(convergence.__file__).parents[1]
CONFIGS = Path(__file__).parents[2] / "configs"
MODULE = ("-m", "convergence")
HELLO = ("run", "acme", "example/hello", "-p", "greeting=grüß dich")
# SIGINT comes, as from a terminal, after so many calls of functions: the same moments however fast the machine is. How
# many there were is written to the file.
INTERRUPTED = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell started the tests in the background
from convergence.__main__ import main
seen, last, file = 0, int(sys.argv.pop(1)), sys.argv.pop(1)
def count(frame, event, argument):
    global seen
    seen += event == "call"
    if seen == last:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
def tell():
    with open(file, "w") as told:
        told.write(str(seen))
atexit.register(tell)
sys.setprofile(count)
main()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a data directory that has the org acme and a run of it."""
    for words in (("org", "create", "acme"), HELLO):
        done = call(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    return tmp_path


def call(
    place: Path,
    *words: str,
    python: tuple[str, ...] = ("-m", "convergence"),
    stdout: int = subprocess.PIPE,
    given: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """Call the command from the root of the file system, with no variable that it is not given."""
    return subprocess.run(
        [sys.executable, *python, "--data-dir", str(place / "data"), "--configs", str(CONFIGS), *words],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(PRODUCT), **given},
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("environment", [{}, {"LANG": "C", "LC_ALL": "C"}, {"HOME": "/nowhere"}, {"TERM": "dumb"}])
def test_it_works_from_anywhere_without_home_in_any_language(place: Path, environment: dict[str, str]) -> None:
    for words in (HELLO, ("status",), ("history", "acme"), ("logs",), ("validate", "example/hello")):
        done = call(place, *words, given=environment)
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
    wrong = call(place, "run", "acme", "example/helo", given=environment)
    assert (wrong.returncode, "Did you mean 'example/hello'?" in wrong.stderr) == (2, True)


def test_without_a_configs_folder_the_way_to_one_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convergence", "validate"],
        cwd="/", env={"PYTHONPATH": str(PRODUCT)}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, "there is no configs folder 'configs'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "words", [("history", "acme"), ("logs",), ("pipelines",), ("schema",), ("--help",), ("run", "--help"), HELLO]
)
def test_a_reader_that_is_gone_is_no_error(place: Path, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = call(place, *words, stdout=writer)
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_closed_streams_are_no_error_and_no_file_gets_their_output(place: Path) -> None:
    for closed, words in ((">&-", "history acme"), (">&- 2>&- <&-", "history acme"), (">&-", "--version")):
        command = f'"{sys.executable}" -m convergence --data-dir data --configs "{CONFIGS}" {words} {closed}'
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=place, env={"PATH": os.defpath, "PYTHONPATH": str(PRODUCT)}, stderr=subprocess.PIPE, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), words
    assert call(place, "history", "acme").stdout.count("example/hello") == 1


def test_ctrl_c_ends_the_demo_without_a_traceback(tmp_path: Path) -> None:
    told = tmp_path / "calls"
    for calls in (10_000, 200_000, 600_000):
        done = call(tmp_path, "demo", python=("-c", INTERRUPTED, str(calls), str(told)), given={"NO_COLOR": "1"})
        assert int(told.read_text()) == calls, "it was interrupted"
        assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr
    assert call(tmp_path, "resume").returncode == 0


def test_ctrl_c_at_any_moment_ends_with_130_and_without_a_traceback(place: Path) -> None:
    told = place / "calls"
    whole = call(place, *HELLO, python=("-c", INTERRUPTED, "0", str(told)))
    assert whole.returncode == 0, whole.stderr
    calls = int(told.read_text())
    for share in (0.0005, 0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99):
        done = call(place, *HELLO, python=("-c", INTERRUPTED, str(max(1, int(share * calls))), str(told)))
        assert "Traceback" not in done.stderr, (share, done.stderr)
        assert done.returncode == 130, (share, done.stderr)
    assert call(place, "resume").returncode == 0
    runs = call(place, "history", "acme", "--json").stdout
    assert '"running"' not in runs
    assert '"failed"' not in runs
