"""Ours and an emulator of BigQuery answer alike, but for the differences that are listed with the one that is right."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from convergence.errors import ConvergenceError
from tests.emulators.bigquery import running
from tests.emulators.environment import python_of
from tests.unit.googlesql.conftest import GoogleSql
from tests.unit.googlesql.shown import shown

HERE = Path(__file__).parent
LINES = (HERE / "statements.sql").read_text(encoding="utf-8").splitlines()[1:]
SCRIPTS = (HERE / "scripts.sql").read_text(encoding="utf-8").partition("\n")[2].split("\n----\n")
DIFFERENCES: dict[str, dict[str, Any]] = json.loads((HERE / "differences.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.emulator


class Emulator(Protocol):
    def __call__(self, sql: str) -> dict[str, Any]: ...


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator; skipped aloud where there is no environment for it, unless CI asks for it."""
    with running(tmp_path_factory.mktemp("emulator")) as address:
        yield from _asking(address)


def _asking(address: str) -> Iterator[Emulator]:
    """The client lives in the emulator's environment too: one that knows all that the emulator answers."""
    command = [str(python_of()), str(HERE / "emulator.py"), address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sent, received = process.stdin, process.stdout

        def ask(sql: str) -> dict[str, Any]:
            sent.write(json.dumps({"sql": sql}) + "\n")
            sent.flush()
            answer: dict[str, Any] = json.loads(received.readline())
            return answer

        assert json.loads(received.readline()) == {"ready": True}
        for statement in (HERE / "setup.sql").read_text(encoding="utf-8").splitlines():
            assert "error" not in ask(statement)
        yield ask
        sent.close()


@pytest.fixture(scope="module")
def ours() -> Iterator[GoogleSql]:
    sql = GoogleSql()
    for statement in (HERE / "setup.sql").read_text(encoding="utf-8").splitlines():
        sql.query(statement)
    yield sql
    sql.close()


def our_answer(sql: GoogleSql, text: str, *, script: bool = False) -> dict[str, Any]:
    try:
        rows = sql.script(text) if script else [tuple(row.values()) for row in sql.query(text).rows]
    except ConvergenceError as error:
        return {"error": str(error)}
    return {"rows": [[shown(value) for value in row] for row in rows]}


def comparable(answer: dict[str, Any], text: str) -> Any:
    """Errors are alike whatever they say; rows have an order when the text asks for one."""
    if "error" in answer:
        return "error"
    return answer["rows"] if "ORDER BY" in text else sorted(answer["rows"])


def check(text: str, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    found = {"ours": comparable(mine, text), "emulator": comparable(theirs, text)}
    listed = DIFFERENCES.get(text)
    if listed is None:
        assert found["ours"] == found["emulator"], f"ours: {mine}, emulator: {theirs}"
    else:
        assert found == {"ours": listed["ours"], "emulator": listed["emulator"]}, "the list is out of date"


@pytest.mark.parametrize("text", LINES)
def test_a_statement_is_answered_alike(ours: GoogleSql, emulator: Emulator, text: str) -> None:
    sql = text if text.startswith(("SELECT", "WITH")) else f"SELECT {text}"
    check(text, our_answer(ours, sql), emulator(sql))


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_script_is_answered_alike(ours: GoogleSql, emulator: Emulator, text: str) -> None:
    check(text, our_answer(ours, text, script=True), emulator(text))


def test_every_listed_difference_is_one_of_the_cases() -> None:
    assert set(DIFFERENCES) <= {*LINES, *SCRIPTS}
    assert {each["right"] for each in DIFFERENCES.values()} <= {"ours", "emulator", "neither", "both"}
