"""What a reader sees of a run without asking twice: days, origin, parameters, what a replay changed, at any width."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest
from rich.console import Console

from convergence.entry.cli.bars import Bars
from convergence.entry.cli.output import Output
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import summary
from tests.unit.entry.conftest import Cli, a_step

RANGE = ("-p", "start_date=2026-11-01", "-p", "end_date=2026-11-07")
ERROR = "[transient] https://api.acme.example/v1/invoices answers 503 in each of its 3 attempts; replay it later"


@pytest.fixture
def replayed(acme: Cli) -> Cli:
    """The command, with a run that failed and completed with another file after a replay."""
    assert acme("run", "acme", "shop/load", *RANGE).code == 1
    again = acme("replay", acme("status", "--json").data["run_id"], "-p", "file=openai/seed/subscription_plans.csv")
    assert "pending" not in again.err
    return acme


def test_status_history_and_logs_show_days_origin_and_what_a_replay_changed(replayed: Cli) -> None:
    changed = "replay 1 changed file: openai/seed/missing.csv -> openai/seed/subscription_plans.csv"
    for words in (("status",), ("logs",)):
        shown = replayed(*words).out
        assert "dates    2026-11-01 to 2026-11-07" in shown
        assert re.search(r"began    20\d\d-\d\d-\d\d [\d:]{8} UTC, manual", shown)
        assert "file=openai/seed/subscription_plans.csv" in shown
        assert changed in shown
    page = replayed("history", "acme").out
    assert "2026-11-01 to 2026-11-07" in page
    assert "manual" in page
    assert "replay 1 changed file" in page
    assert page.splitlines()[0].split()[-2:] == ["read", "written"]


def test_json_has_them_too(replayed: Cli) -> None:
    change = {
        "epoch": 1,
        "name": "file",
        "before": "openai/seed/missing.csv",
        "after": "openai/seed/subscription_plans.csv",
    }
    one = replayed("status", "--json").data
    (line,) = replayed("history", "acme", "--json").data["runs"]
    for run in (one, line, replayed("logs", "--json").data["run"]):
        assert (run["start_date"], run["end_date"]) == ("2026-11-01", "2026-11-07")
        assert (run["trigger"], run["created_by"], run["credential_id"]) == ("manual", "manual", "")
        assert run["parameters"]["file"] == "openai/seed/subscription_plans.csv"
        assert run["changes"] == [change]
    assert line["rows_written"] == one["rows_written"] > 0


def test_a_replay_shows_only_what_is_new(acme: Cli) -> None:
    first = acme("run", "acme", "shop/load").err
    assert "look " in first
    again = acme("replay", acme("status", "--json").data["run_id"]).err
    assert "replay 1" in again
    assert "accepted" not in again
    assert not re.search(r"  look  +completed", again)


def a_run(**changes: Any) -> Any:
    return {
        "run_id": "run_1", "org": "acme", "pipeline": "acme/usage/hello", "status": "failed", "trigger": "manual",
        "created_by": "key_1", "credential_id": "main", "start_date": "2026-11-01", "end_date": "2026-11-07",
        "parameters": {"note": "n" * 50, "mode": "thorough"}, "changes": [], "records_processed": 1, "rows_written": 2,
        "error_message": ERROR, "created_at": "2026-11-08T05:00:00.000000Z", "duration_ms": 1, "progress": 0,
        "warnings": [], "focus": [], "waits_for": None,
        "steps": [{**a_step("extract_invoices", "retrying"), "rows_processed": 314, "rows_written": 671,
                   "error_message": ERROR, "attempts": 2}],
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_width_cuts_message_or_attempts(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    summary(Output(), a_run(), lambda *words: " ".join(words))
    lines = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    assert ERROR in " ".join(" ".join(lines).split())
    assert all(len(line) <= columns for line in lines[1:] if len(line.split()) > 1 and "n" * 50 not in line)

    screen = io.StringIO()
    console = Console(file=screen, width=columns, height=30)
    console.print(Bars(Rows(), console).table(a_run(), 10))
    drawn = " ".join(screen.getvalue().split())
    assert ERROR in drawn
    for part in ("extract_invoices", "314 read", "671 written", "attempt 2 of 3"):
        assert all(word in drawn for word in part.split()), part
    assert "…" not in drawn


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_pipe_gets_one_line_for_each_fact(
    term: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "60")
    summary(Output(), a_run(), lambda *words: " ".join(words))
    assert capsys.readouterr().out.splitlines() == [
        "failed  acme/usage/hello  run_1  0 of 1 steps · 1 rows read, 2 written · 0.00 s",
        "  dates    2026-11-01 to 2026-11-07",
        "  began    2026-11-08 05:00:00 UTC, manual by key_1, credential main",
        f"  with     note={'n' * 50}, mode=thorough",
        f"  {ERROR}",
        "  look:   logs run_1",
        "  again:  replay run_1",
    ]
