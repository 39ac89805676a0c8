"""Runs from the command line: begun, looked at, interrupted, resumed, cancelled, replayed."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import convergence
from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.data_directory import DataDirectory
from convergence.bootstrap import EmbeddedOptions, reading
from convergence.entry.cli import session
from convergence.entry.cli.commands.run import unheard
from convergence.entry.cli.installation import Worker, Writer
from convergence.ports.bus import RUN_EVENTS, STEP_READY, Message
from tests.unit.entry.conftest import Cli


def test_a_run_is_waited_for_and_reported_as_json(acme: Cli) -> None:
    answer = acme("run", "acme", "example/hello", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.data["status"] == "completed"
    assert answer.data["progress"] == 100
    assert [step["status"] for step in answer.data["steps"]] == ["completed"] * 4


def test_a_run_prints_a_line_for_each_move_and_a_summary(acme: Cli) -> None:
    answer = acme("run", "acme", "example/hello", "-p", "greeting=good morning")
    assert "completed  example/hello  run_" in answer.out
    assert "4 of 4 steps" in answer.out
    assert next(line.split()[1] for line in answer.err.splitlines() if "claimed" in line) == "extract_greeting"
    assert "\x1b[" not in answer.out + answer.err


def test_the_same_idempotency_key_is_the_same_run(acme: Cli) -> None:
    first, again = (acme("run", "acme", "example/hello", "--idempotency-key", "k", "--json").data for _ in range(2))
    assert first["run_id"] == again["run_id"]
    other = acme("run", "acme", "example/hello", "-p", "greeting=x", "--idempotency-key", "k")
    assert (other.code, "was for a different request" in other.err) == (2, True)


def test_a_run_without_a_waiting_caller_is_left_to_resume_and_every_command_says_so(acme: Cli) -> None:
    run_id = acme("run", "acme", "example/hello", "--no-wait", "--json").data["run_id"]
    assert {step["status"] for step in acme("status", run_id, "--json").data["steps"]} == {"pending"}
    assert "claimed" not in acme("logs", run_id).out
    for argv in (("history", "acme"), ("schema",), ("org", "list"), ("validate", "example/hello")):
        assert "1 unfinished run; finish it with: convergence resume" in acme(*argv).err
    resumed = acme("resume", "--json")
    assert [(run["run_id"], run["status"]) for run in resumed.data["runs"]] == [(run_id, "completed")]
    assert "unfinished" not in acme("history", "acme").err
    assert acme("resume").out == "Nothing is unfinished.\n"


def test_without_waiting_hints_for_steps_are_lost_and_events_pass(tmp_path: Path) -> None:
    published: list[str] = []

    class Recorder:
        async def publish(self, topic: str, messages: Sequence[Message]) -> None:
            published.append(topic)

    with reading(EmbeddedOptions(data_dir=tmp_path / "nowhere")) as services:
        bus = unheard(
            Writer(replace(services, bus=Recorder()), cast("Worker", None), *([cast("Any", None)] * 4))
        ).services.bus
        for topic in (STEP_READY, RUN_EVENTS):
            asyncio.run(bus.publish(topic, [Message(b"{}")]))
    assert published == [RUN_EVENTS]


def test_several_runs_are_resumed_at_once(acme: Cli) -> None:
    for _ in range(3):
        acme("run", "acme", "example/hello", "--no-wait")
    assert "3 unfinished runs; finish them with" in acme("history", "acme").err
    assert len(acme("resume", "--json").data["runs"]) == 3


def test_a_resumed_run_that_fails_is_exit_code_1(acme: Cli) -> None:
    acme("run", "acme", "shop/load", "--no-wait")
    acme("run", "acme", "example/hello", "--no-wait")
    answer = acme("resume")
    assert answer.code == 1
    assert "failed  shop/load" in answer.out
    assert "completed  example/hello" in answer.out


def test_a_data_directory_that_cannot_be_used_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = cli("--data-dir", "file/data", "org", "create", "acme")
    assert (inside.code, "file/data" in inside.err, "bug" in inside.err) == (1, True, False)
    assert cli("--data-dir", "file", "org", "create", "acme").code == 2


HOLD = """
import signal, sys
from pathlib import Path
from convergence.adapters.local.data_directory import DataDirectory
signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell started the tests in the background
DataDirectory(Path(sys.argv[1])).lock("run shop/load")
print("held", flush=True)
signal.pause()
"""


def test_the_cancel_of_a_run_that_another_process_holds_says_exactly_what_to_do(acme: Cli, tmp_path: Path) -> None:
    run_id = acme("run", "acme", "example/hello", "--no-wait", "--json").data["run_id"]
    here = {**os.environ, "PYTHONPATH": str(Path(convergence.__file__).parents[1])}
    call = [sys.executable, "-c", HOLD, str(tmp_path / ".convergence")]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=here) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = acme("cancel", run_id)
        assert (refused.code, refused.out) == (4, "")
        assert f"in use by process {holder.pid} (run shop/load)" in refused.err
        stop = re.search(r"or: (kill -INT \d+) ", refused.err)
        assert stop is not None
        subprocess.run(shlex.split(stop[1]), check=True)
        holder.wait(timeout=60)
    then = re.search(r"Then: convergence (cancel run_\w+)$", refused.err.strip())
    assert then is not None
    assert acme(*then[1].split()).code == 0
    assert acme("status", run_id, "--json").data["status"] == "cancelled"


@pytest.mark.parametrize("how", ["env", "file"])
def test_a_secret_comes_from_the_environment_or_a_file_and_stays_out_of_sight(
    acme: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("SHOP_KEY", "sk-very-secret-1")
    (tmp_path / "key.txt").write_text("sk-very-secret-1\n")
    source = {"env": "api_key=SHOP_KEY", "file": "api_key=key.txt"}[how]
    answer = acme("run", "acme", "shop/key", f"--secret-from-{how}", source, "--json")
    assert answer.code == 0, answer.err
    message = answer.out + answer.err + acme("logs").out + acme("org", "show", "acme").out
    assert "credential cred_" in message
    assert "sk-very-secret-1" not in message
    for file in (tmp_path / ".convergence").rglob("*"):
        assert file.is_dir() or b"sk-very-secret-1" not in file.read_bytes(), file


def test_a_secret_is_asked_for_on_a_terminal(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(
        "click.prompt", lambda name, **how: asked.append(name) or "sk-typed-secret" if how["hide_input"] else ""
    )
    assert acme("run", "acme", "shop/key").code == 0
    assert asked == ["api_key"]


def test_a_second_writer_is_refused_by_name_and_readers_go_on(
    acme: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOKERS_WAIT_S", 0.0)  # the holder is this process, which is never named as another
    acme("run", "acme", "example/hello")
    holder = DataDirectory(tmp_path / ".convergence")
    holder.lock("run openai/cost/usage_cost")
    try:
        for argv in (("run", "acme", "example/hello"), ("query", "acme", "SELECT 1"), ("org", "create", "beta")):
            answer = acme(*argv)
            assert (answer.code, "(run openai/cost/usage_cost)" in answer.err) == (4, True)
        for words in (("status",), ("logs",), ("history", "acme"), ("dead-letters", "acme"), ("org", "list")):
            assert acme(*words).code == 0
        assert acme("plan", "acme", "example/hello").code == 0
    finally:
        holder.unlock()
    assert acme("run", "acme", "example/hello").code == 0


def test_a_quota_is_named_when_it_is_reached(cli: Cli) -> None:
    cli("org", "create", "small", "--daily", "1")
    assert cli("run", "small", "example/hello").code == 0
    refused = cli("run", "small", "example/hello")
    assert (refused.code, "Daily pipeline limit (1) reached" in refused.err) == (1, True)


def test_vacuum_counts_and_removes_what_has_expired(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = acme("run", "acme", "example/hello", "--json").data["run_id"]
    assert (
        "would remove 0 runs, 0 dead letters, 0 requests, 0 deliveries to webhooks, 0 rows of"
        in acme("vacuum", "--dry-run").out
    )
    assert acme("vacuum", "--json").data["documents"] == 0
    assert acme("status", run_id, "--json").data["status"] == "completed"

    later = datetime.now(UTC) + timedelta(days=91)  # noqa: TID251 - from the machine's clock, which the commands read
    monkeypatch.setattr(SystemClock, "now", lambda _: later)
    assert "would remove 1 run," in acme("vacuum", "--dry-run").out
    assert acme("status", run_id).code == 0, "a dry run removes nothing"
    assert acme("vacuum", "--json").data["runs"] == 1
    assert acme("status", run_id).code == 2
