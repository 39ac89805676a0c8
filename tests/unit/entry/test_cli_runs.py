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
from convergence.entry.cli.run_ids import pick
from convergence.errors import NotFound
from convergence.ports.bus import RUN_EVENTS, STEP_READY, Message
from tests.unit.entry.conftest import GOOD_FILE, Cli


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


def test_a_state_file_that_was_only_just_made_reads_as_empty(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".convergence").mkdir()
    (tmp_path / ".convergence" / "state.db").touch()
    answer = cli("org", "list")
    assert (answer.code, "There are no orgs yet" in answer.out) == (0, True)


def test_status_without_a_name_is_the_latest_run(acme: Cli) -> None:
    acme("run", "acme", "example/hello")
    latest = acme("run", "acme", "example/hello", "--json").data["run_id"]
    shown = acme("status")
    assert latest in shown.out
    assert "load_greeting" in shown.out
    assert acme("status", "--json").data["run_id"] == latest


def test_the_beginning_of_an_id_is_enough_where_it_is_one_runs(acme: Cli) -> None:
    first = acme("run", "acme", "example/hello", "--json").data["run_id"]
    acme("run", "acme", "example/hello")
    assert acme("status", first[:12], "--json").data["run_id"] == first
    assert acme("logs", first[:12], "--json").data["run_id"] == first
    assert f"run {first} is completed already" in acme("cancel", first[:12]).err
    several = acme("status", "run_")
    assert (several.code, "'run_' may be any of 2 runs" in several.err, first in several.err) == (2, True, True)
    assert f"The latest: {acme('status', '--json').data['run_id']}" in acme("status", "nothing").err


def test_a_short_beginning_is_no_answer_where_older_runs_are_not_compared() -> None:
    known = ["run_5f0c2d9a11", "run_aaaaaaaaaa"]
    assert pick("run_5f0c2d9a", known, complete=False) == known[0]
    assert pick("run_5", known, complete=True) == known[0]
    for given in ("run_5", "5f0c2d9a", "", "run_5f0c2d9b"):
        with pytest.raises(NotFound):
            pick(given, known, complete=False)


def test_logs_of_a_step_that_the_run_does_not_have_are_an_error(acme: Cli) -> None:
    acme("run", "acme", "example/hello")
    answer = acme("logs", "--step", "transform_lef")
    assert (answer.code, answer.out) == (2, "")
    assert "has no step 'transform_lef'. Did you mean 'transform_left'" in answer.err


def test_logs_are_in_order_of_time_and_can_be_of_one_step(acme: Cli) -> None:
    acme("run", "acme", "example/hello")
    entries = acme("logs", "--json").data["entries"]
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    assert [entry["status"] for entry in entries][:2] == ["validating", "running"]
    only = acme("logs", "--step", "transform_left", "--json").data["entries"]
    assert [entry["status"] for entry in only] == ["running", "completed"]


def test_a_failed_run_is_exit_code_1_and_says_what_to_do(acme: Cli) -> None:
    answer = acme("run", "acme", "shop/load")
    assert answer.code == 1
    assert "failed  shop/load" in answer.out
    assert "there is no file 'openai/seed/missing.csv'" in answer.out
    assert "convergence replay run_" in answer.out
    assert "load_plans" in acme("dead-letters", "acme").out


def test_a_failed_run_is_replayed_with_other_parameters_from_where_it_failed(acme: Cli) -> None:
    run_id = acme("run", "acme", "shop/load", "--json").data["run_id"]
    answer = acme("replay", run_id, "-p", GOOD_FILE, "--json")
    assert (answer.code, answer.data["status"], answer.data["epoch"]) == (0, "completed", 1)
    assert answer.data["rows_written"] > 0
    claimed = [
        move["step_id"] for move in acme("logs", run_id, "--json").data["entries"] if move.get("why") == "claimed"
    ]
    reported = ["notify_email_on_failure", "notify_slack_on_failure"]  # by default, before the replay
    assert [step for step in claimed if step not in reported] == ["look", "load_plans", "load_plans"]
    assert acme("dead-letters", "acme", "--json").data["dead_letters"][0]["replayed"] is True


def test_a_replay_says_what_becomes_of_writes_that_took_effect(acme: Cli) -> None:
    run_id = acme("run", "acme", "shop/load", "--json").data["run_id"]
    both = acme("replay", run_id, "--keep", "load_plans", "--again", "load_plans")
    assert (both.code, "contradict each other" in both.err) == (2, True)
    done = acme("replay", run_id, "--keep", "look")
    assert (done.code, "'look' is finished" in done.err) == (2, True)
    again = acme("replay", run_id, "-p", GOOD_FILE, "--again", "load_plans", "--json")
    assert (again.code, again.data["status"]) == (0, "completed")


def test_a_dead_letter_replays_its_run_once(acme: Cli) -> None:
    acme("run", "acme", "shop/load")
    dead_letter = acme("dead-letters", "acme", "--json").data["dead_letters"][0]["letter_id"]
    assert acme("replay", dead_letter).code == 1  # the file is still missing
    again = acme("replay", dead_letter)
    assert (again.code, "was replayed already" in again.err) == (2, True)


def test_a_dead_letter_is_shown_replayed_with_other_parameters_and_closed_by_its_success(acme: Cli) -> None:
    acme("run", "acme", "shop/load")
    (found,) = acme("dead-letters", "list", "_all", "--state", "open", "--json").data["dead_letters"]
    shown = acme("dead-letters", "show", "acme", found["letter_id"])
    assert "there is no file 'openai/seed/missing.csv'" in shown.out
    assert "convergence.processors.openai.seed_csv:" in shown.out
    assert "1  " in acme("dead-letters", "list", "acme", "--by-cause", "--pipeline", "shop/load").out
    unknown = acme("dead-letters", "replay", found["letter_id"], "-p", "fil=x")
    assert (unknown.code, "Did you mean 'file'?" in unknown.err) == (2, True)
    assert acme("dead-letters", "replay", found["letter_id"], "-p", GOOD_FILE).code == 0
    closed = acme("dead-letters", "show", "acme", found["letter_id"], "--json").data
    assert (closed["state"], closed["closed_by"], closed["run_status"]) == ("completed", "engine", "completed")
    assert closed["changes"] == {"file": {"before": "openai/seed/missing.csv", "after": GOOD_FILE.partition("=")[2]}}
    assert acme("dead-letters", "acme", "--older-than", "1d").out == "acme has no dead letters.\n"
    again = acme("dead-letters", "replay", found["letter_id"])
    assert (again.code, "was replayed already" in again.err) == (2, True)


def test_a_dead_letter_is_discarded_with_a_reason_and_not_replayed_afterwards(acme: Cli) -> None:
    acme("run", "acme", "shop/load")
    name = acme("dead-letters", "acme", "--json").data["dead_letters"][0]["letter_id"]
    assert acme("dead-letters", "discard", "acme", name, "--reason", " ").code == 2
    assert "discarded" in acme("dead-letters", "discard", "acme", name, "--reason", "not ours").out
    refused = acme("dead-letters", "replay", name)
    assert (refused.code, "is discarded already: not ours" in refused.err) == (2, True)
    assert acme("dead-letters", "list", "acme", "--state", "open").out == "acme has no dead letters.\n"
    bad = acme("dead-letters", "list", "acme", "--older-than", "soon")
    assert (bad.code, "--older-than takes an age" in bad.err) == (2, True)


def test_only_failed_and_cancelled_runs_are_replayed(acme: Cli) -> None:
    run_id = acme("run", "acme", "example/hello", "--json").data["run_id"]
    answer = acme("replay", run_id)
    assert (answer.code, "only failed and cancelled runs" in answer.err) == (2, True)


def test_a_replay_can_be_left_to_resume(acme: Cli) -> None:
    run_id = acme("run", "acme", "shop/load", "--json").data["run_id"]
    assert acme("replay", run_id, "-p", GOOD_FILE, "--no-wait", "--json").data == {
        "run_id": run_id,
        "status": "running",
    }
    assert acme("resume", "--json").data["runs"][0]["status"] == "completed"


def test_a_cancelled_run_shows_its_steps_as_cancelled_and_can_be_replayed(acme: Cli) -> None:
    run_id = acme("run", "acme", "example/hello", "--no-wait", "--json").data["run_id"]
    answer = acme("cancel", run_id, "--json")
    assert (answer.code, answer.data["status"]) == (0, "cancelled")
    assert {step["status"] for step in answer.data["steps"]} == {"cancelled"}
    assert acme("cancel", run_id).code == 0  # as asked for
    assert acme("replay", run_id, "--json").data["status"] == "completed"
    over = acme("cancel", run_id)
    assert (over.code, "is completed already" in over.err) == (2, True)


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


def test_log_tables_show_runs_that_ended_before_the_warehouse_was_opened(acme: Cli, tmp_path: Path) -> None:
    ids = [acme("run", "acme", "example/hello", "--json").data["run_id"] for _ in range(2)]
    assert not (tmp_path / ".convergence" / "warehouse" / "warehouse.duckdb").exists()
    for _ in range(2):
        rows = acme(
            "query", "acme", "SELECT run_id FROM org_meta_pipeline_runs WHERE status = 'completed'", "--json"
        ).data
        assert sorted(row["run_id"] for row in rows["rows"]) == sorted(ids)
    assert not (tmp_path / ".convergence" / "events.ndjson").exists()


def test_pages_of_a_history_go_on_where_the_last_one_ended(acme: Cli) -> None:
    ids = [acme("run", "acme", "example/hello", "--json").data["run_id"] for _ in range(3)]
    first = acme("history", "acme", "--limit", "2", "--json").data
    second = acme("history", "acme", "--limit", "2", "--cursor", first["cursor"], "--json").data
    assert [run["run_id"] for run in first["runs"] + second["runs"]] == ids[::-1]
    assert second["cursor"] is None
    assert "more: convergence history acme --limit 2 --cursor" in acme("history", "acme", "--limit", "2").err


def test_a_quota_is_named_when_it_is_reached(cli: Cli) -> None:
    cli("org", "create", "small", "--daily", "1")
    assert cli("run", "small", "example/hello").code == 0
    refused = cli("run", "small", "example/hello")
    assert (refused.code, "Daily pipeline limit (1) reached" in refused.err) == (1, True)


def test_many_dead_letters_are_counted_and_replayed_one_first(acme: Cli) -> None:
    for _ in range(2):
        acme("run", "acme", "shop/load")
    dry = acme("dead-letters", "replay-all", "acme", "--pipeline", "shop/load", "-p", GOOD_FILE, "--dry-run")
    assert "2 runs, 2 steps, 2 slices" in dry.out
    words = ("--pipeline", "shop/load", "-p", GOOD_FILE, "--per-minute", "600")
    done = acme("dead-letters", "replay-all", "acme", *words)
    assert (done.code, "done: 2 of 2 completed" in done.out) == (0, True), done.err
    assert "done: 2 of 2" in acme("dead-letters", "replays", "acme").out
    (only,) = acme("dead-letters", "replays", "acme", "--json").data["replays"]
    assert acme("dead-letters", "cancel", "acme", only["replay_id"]).code == 2
    assert acme("dead-letters", "replay-all", "acme").code == 2


def test_many_dead_letters_are_counted_and_discarded(acme: Cli) -> None:
    for _ in range(2):
        acme("run", "acme", "shop/load")
    words = ("dead-letters", "discard-all", "acme", "--pipeline", "shop/load")
    assert acme(*words).code == 2, "it needs a reason"
    dry = acme(*words, "--reason", "a test", "--dry-run")
    assert "2 dead letters (2 runs)" in dry.out
    assert acme(*words, "--reason", "a test", "--dry-run", "--json").data["runs"] == 2
    assert "discarded 2 dead letters" in acme(*words, "--reason", "a test").out
    assert acme(*words, "--reason", "a test", "--json").data == {"discarded": 0}
    states = acme("dead-letters", "list", "acme", "--json").data["dead_letters"]
    assert [each["state"] for each in states] == ["discarded"] * 2


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


def test_the_next_page_of_dead_letters_is_a_command_that_runs(acme: Cli) -> None:
    for _ in range(2):
        acme("run", "acme", "shop/load")
    page = acme("dead-letters", "list", "acme", "--limit", "1")
    more = next(line for line in page.err.splitlines() + page.out.splitlines() if line.startswith("more: "))
    words = more.removeprefix("more: ").split()
    following = acme(*words[words.index("dead-letters") :])
    assert (following.code, following.out.count("step.failed")) == (0, 1), following.err
    assert following.out != page.out
