"""Failed and cancelled runs, and dead letters, from the command line: replayed, or discarded."""

from __future__ import annotations

from tests.unit.entry.conftest import GOOD_FILE, Cli


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


def test_the_next_page_of_dead_letters_is_a_command_that_runs(acme: Cli) -> None:
    for _ in range(2):
        acme("run", "acme", "shop/load")
    page = acme("dead-letters", "list", "acme", "--limit", "1")
    more = next(line for line in page.err.splitlines() + page.out.splitlines() if line.startswith("more: "))
    words = more.removeprefix("more: ").split()
    following = acme(*words[words.index("dead-letters") :])
    assert (following.code, following.out.count("step.failed")) == (0, 1), following.err
    assert following.out != page.out
