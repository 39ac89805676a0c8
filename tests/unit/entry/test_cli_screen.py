"""What stands on the screen and in the log file."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
from rich.console import Console

import convergence
from convergence.engine.step.redact import RedactingLogger, Redactor
from convergence.engine.views.models import StepView
from convergence.entry.cli import log_file
from convergence.entry.cli.bars import Bars, fitting
from convergence.entry.cli.commands.demo.main_job import dates
from convergence.entry.cli.commands.status import steps_table
from convergence.entry.cli.follow import Lines, display
from convergence.entry.cli.output import Output, cell, exact, seconds
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.session import Session, program_name
from convergence.errors import ConfigError, ConfigErrors, InvalidInput
from tests.unit.entry.conftest import Cli, a_step


def test_the_steps_table_tells_of_crashes_and_of_the_next_try(capsys: pytest.CaptureFixture[str]) -> None:
    due = "2026-11-28T19:40:05.000000Z"
    resting: StepView = {**a_step("a", "retrying"), "crashes": 3, "crashes_when_isolated": 1, "next_attempt_at": due}
    view: Any = {"created_at": due, "steps": [resting, a_step("b", "completed")]}
    steps_table(Output(), view)
    assert "(crashes: 3, 1 of them alone; next try 19:40:05 UTC)" in capsys.readouterr().out


MANY_DIGITS = "12345678901234567890.123456789012345678"


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("100", "100"), ("0.00", "0"), ("1E+3", "1000"), (MANY_DIGITS, MANY_DIGITS)],
)
def test_money_keeps_every_digit(value: str, text: str) -> None:
    assert exact(Decimal(value)) == text


@pytest.mark.parametrize(("ms", "text"), [(None, ""), (5, "0.01 s"), (59_990, "59.99 s"), (3_725_000, "1:02:05")])
def test_durations_are_for_people(ms: int | None, text: str) -> None:
    assert seconds(ms) == text


def test_cells_are_one_line() -> None:
    assert [cell(value) for value in (None, True, "a\nb", {"a": Decimal("1.0")}, [1])] == [
        "",
        "true",
        "a b",
        '{"a":"1"}',
        "[1]",
    ]


def test_tables_are_aligned_and_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("who", "n"), [("a", 1), ("bob", 100)], right={1})
    assert capsys.readouterr().out == "who    n\na      1\nbob  100\n"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_width_of_a_terminal_cuts_an_error(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    message = "[transient] https://api.acme.example/v1/invoices answers 503 in each of its 3 attempts; replay later"
    Output().table(("step", "status", ""), [("extract", "failed", message), ("load", "pending", "short")])
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert message in " ".join(shown.split())
    assert "pending  short\n" in shown
    below = [line for line in shown.splitlines() if line.startswith("    ")]
    assert bool(below) == (columns < 120)
    Output().table(("day", "cost"), [("d" * columns, 195.5)], right={1})
    assert f"{'d' * columns}\n    cost 195.5\n" in capsys.readouterr().out
    assert all(len(line) <= columns or len(line.split()) == 1 for line in below)


COMMAND = ".venv/bin/convergence --data-dir data org create acme"
ERRORS: dict[str, Exception] = {
    "one line": InvalidInput(f"[transient] after 3 of 3 attempts there is no org 'acme'. Create it with: {COMMAND}."),
    "several": InvalidInput(f"the first of these is {'rather ' * 20}long\n  and the second is short\n{COMMAND} " * 2),
    "mistakes": ConfigErrors([ConfigError("it is wrong in many ways; " * 8 + COMMAND, where="shop/load.yml:3")]),
    "misuse": click.UsageError("Invalid value for '--wait': 'soon' is not a number of seconds. " * 3 + COMMAND),
    "an address": OSError(2, "No such file or directory", "/a/very/long/path" * 9),
}


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", list(ERRORS))
def test_an_error_wraps_at_any_width_and_its_commands_stay_whole(
    name: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output()
    out.error(ERRORS[name])
    piped = capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    out.error(ERRORS[name])
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().err)
    assert shown.startswith("Error:")
    assert shown.split() == piped.split()
    assert shown.count(COMMAND) == piped.count(COMMAND)
    assert all(len(line) <= columns or len(line.split()) == 1 for line in shown.splitlines()), shown
    assert len(shown.splitlines()) > len(piped.splitlines())


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1"), ("TERM", "xterm")])
def test_a_dumb_terminal_and_no_color_get_plain_text(
    acme: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for variable in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    coloured = value == "xterm"
    assert isinstance(display(Output(), Rows()), Bars if coloured else Lines)
    assert ("\x1b[" in acme("status", "x").err) == coloured
    assert ("\x1b[" in acme("org", "list").out) == coloured


def test_a_reader_that_is_gone_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    call = [sys.executable, "-m", "convergence", "--data-dir", str(tmp_path / "data"), "org", "list"]
    here = {**os.environ, "PYTHONPATH": str(Path(convergence.__file__).parents[1])}
    ended = subprocess.run(call, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120, env=here)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_demo_takes_the_last_seven_complete_days() -> None:
    now = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
    assert dates(None, None, now) == (date(2026, 11, 14), date(2026, 11, 20))
    assert dates(None, "2026-03-08", now) == (date(2026, 3, 2), date(2026, 3, 8))
    with pytest.raises(InvalidInput, match="after its last day"):
        dates("TODAY", None, now)


def test_bars_show_an_error_over_as_many_lines_as_it_takes() -> None:
    message = "api.acme.example GET /invoices answers 503 in each of its attempts; replay later"
    screen = io.StringIO()
    console = Console(file=screen, width=60, height=30)
    run: Any = {
        "pipeline": "acme/usage/hello", "run_id": "run_1", "status": "failed", "progress": 0, "duration_ms": 1,
        "waits_for": None, "steps": [{**a_step("extract_invoices", "failed"), "error_message": message}],
    }  # fmt: skip
    console.print(Bars(Rows(), console).table(run, 10))
    assert f"extract_invoices: {message}" in " ".join(screen.getvalue().split())


def test_more_steps_than_lines_leave_those_that_need_a_look_in_plan_order() -> None:
    steps = [a_step(f"s{number}", "completed") for number in range(6)]
    steps[1]["status"], steps[3]["status"], steps[5]["status"] = "running", "failed", "pending"
    assert [step["step_id"] for step in fitting(steps, 3)] == ["s1", "s3", "s5"]
    assert fitting(steps, 6) == steps


def test_a_terminal_gets_a_row_for_each_step(acme: Cli, tmp_path: Path) -> None:
    acme("run", "acme", "example/hello")
    screen = io.StringIO()
    rows = Rows()
    from convergence.bootstrap import EmbeddedOptions, reading
    from convergence.domain.run import Run

    async def draw() -> None:
        page = await services.documents.query("runs")
        run = Run.from_data(page.documents[0].data)
        rows(run.run_id, "load_greeting", 1234, None, "page 2")
        bars = Bars(rows, Console(file=screen, force_terminal=True, width=120, height=30))
        await bars.show(services, [run])
        bars.close()

    with reading(EmbeddedOptions(data_dir=tmp_path / ".convergence")) as services:
        asyncio.run(draw())
    assert "✓ load_greeting" in screen.getvalue()
    assert "1,234 rows so far" in screen.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    handler = log_file.write_to(tmp_path / "convergence.log", to_stderr=False)
    yield tmp_path / "convergence.log"
    log_file.stop(handler)


def test_a_steps_log_line_is_json_with_its_labels_and_without_its_secrets(log: Path) -> None:
    labels = {"org": "acme", "run_id": "run_1", "step_id": "extract"}
    logger = RedactingLogger(logging.getLogger("convergence.step"), Redactor({"sk-secret"}), **labels)
    logger.info("asked with %s", "sk-secret")
    try:
        raise ValueError("sk-secret is wrong")
    except ValueError as error:
        logger.error("raised", exc_info=error)
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert lines[0]["message"] == "asked with [secret]"
    assert labels.items() <= lines[1].items()
    assert b"sk-secret" not in log.read_bytes()


def test_a_runs_lines_are_read_over_all_files_and_torn_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "convergence.log"
    (tmp_path / "convergence.log.1").write_text('{"run_id":"run_1","message":"old"}\n')
    path.write_text('{"run_id":"run_2","message":"run_1"}\n{"run_id":"run_1","message":"new"}\n{"run_id":"run_1","mess')
    assert [line["message"] for line in log_file.read_run(path, "run_1")] == ["old", "new"]
    assert list(log_file.read_run(tmp_path / "nothing.log", "run_1")) == []


def test_command_lines_that_are_shown_work_where_they_are_shown() -> None:
    from convergence.bootstrap import installation

    session = Session(installation(), "convergence")
    assert session.command("logs", "run_1") == "convergence logs run_1"
    session.data_dir = Path("/tmp/my data")
    assert session.command("query", "acme", "SELECT 1") == "convergence --data-dir '/tmp/my data' query acme 'SELECT 1'"


def test_the_program_is_called_as_a_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "convergence").touch(mode=0o755)
    assert program_name(str(tmp_path / "bin" / "convergence")) == "convergence"
    assert program_name(str(tmp_path / ".venv" / "convergence")) == ".venv/convergence"
    assert program_name("/nowhere/on the/path/convergence") == "'/nowhere/on the/path/convergence'"
    assert program_name("/x/convergence/__main__.py").endswith(" -m convergence")
