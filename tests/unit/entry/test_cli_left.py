"""What a process left: backfills and replays that were under way, and runs that a run starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.engine.backfills.create import BackfillRequest, create_backfill
from convergence.engine.dead_letters import replays
from convergence.engine.dead_letters.find import Filter
from convergence.engine.services import Services
from convergence.ports.documents import Patch
from tests.unit.entry.conftest import GOOD_FILE, Cli

CHAIN = """
pipeline_id: "{{org_slug}}-shop-{name}"
provider: shop
{then}
steps:
  - step_id: look
    ps_type: generic.noop
"""


@pytest.fixture
def chained(acme: Cli, configs: Path) -> Cli:
    """The command, with `shop/parent`, which starts `shop/child`, which starts `shop/grandchild`."""
    for name, following in (("parent", "child"), ("child", "grandchild"), ("grandchild", "")):
        then = f"then: {{on_success: [shop/{following}]}}" if following else ""
        (configs / "shop" / f"{name}.yml").write_text(CHAIN.format(name=name, then=then))
    return acme


def left(tmp_path: Path, work: Callable[[Services], Awaitable[Any]]) -> Any:
    """Store something and end before anything is done, as a process that is killed."""

    async def store() -> Any:
        options = EmbeddedOptions(data_dir=tmp_path / ".convergence", configs_dir=tmp_path / "configs")
        async with embedded(options, "test") as opened:
            return await work(opened.services)

    return asyncio.run(store())


def a_backfill(tmp_path: Path) -> str:
    request = BackfillRequest(
        org="acme", pipeline="example/hello", start=date(2026, 3, 1), end=date(2026, 3, 3), concurrency=2
    )
    made = left(tmp_path, lambda services: create_backfill(services, request))
    return str(made.backfill_id)


def a_replay(acme: Cli, tmp_path: Path) -> str:
    for _ in range(2):
        acme("run", "acme", "shop/load")
    name, _, value = GOOD_FILE.partition("=")
    request = replays.ReplaysRequest(
        criteria=Filter(org="acme", pipeline="shop/load"), parameters={name: value}, per_minute=600
    )
    made = left(tmp_path, lambda services: replays.create(services, request))
    return str(made.replay_id)


def test_resume_goes_on_with_backfills_and_replays_until_nothing_is_unfinished(acme: Cli, tmp_path: Path) -> None:
    replay_id, backfill_id = a_replay(acme, tmp_path), a_backfill(tmp_path)
    acme("run", "acme", "example/hello", "--no-wait")
    answer = acme("resume", "--json")
    assert answer.code == 0, answer.err
    (backfill,), (replay,) = answer.data["backfills"], answer.data["replays"]
    assert (backfill["backfill_id"], backfill["status"], backfill["counts"]["done"]) == (backfill_id, "done", 3)
    assert (replay["replay_id"], replay["status"], replay["completed"]) == (replay_id, "done", 2)
    # A run of the backfill is among them if the command before this one has admitted it.
    assert {run["status"] for run in answer.data["runs"]} == {"completed"}
    assert [run["pipeline"] for run in answer.data["runs"]].count("example/hello") >= 1
    assert acme("resume").out == "Nothing is unfinished.\n"


def test_resume_says_how_backfills_and_replays_ended(acme: Cli, tmp_path: Path) -> None:
    replay_id, backfill_id = a_replay(acme, tmp_path), a_backfill(tmp_path)
    answer = acme("resume")
    assert (answer.code, "1 running backfill, 1 running replay to finish" in answer.err) == (0, True), answer.err
    assert f"{backfill_id}  done: 3 done" in answer.out
    assert f"{replay_id}  done: 2 of 2 completed" in answer.out


def test_a_backfill_and_a_replay_that_were_left_running_are_resumed_by_name(acme: Cli, tmp_path: Path) -> None:
    replay_id, backfill_id = a_replay(acme, tmp_path), a_backfill(tmp_path)
    resumed = acme("backfills", "resume", "acme", backfill_id)
    assert (resumed.code, "done: 3 done" in resumed.out) == (0, True), resumed.err
    again = acme("dead-letters", "resume", "acme", replay_id)
    assert (again.code, "done: 2 of 2 completed" in again.out) == (0, True), again.err
    assert acme("backfills", "resume", "acme", backfill_id).code == 2, "it is over"


def test_a_run_that_is_waited_for_ends_with_the_runs_that_it_starts(chained: Cli) -> None:
    answer = chained("run", "acme", "shop/parent", "--json")
    assert answer.code == 0, answer.err
    runs = [answer.data, *answer.data["chained"]]
    assert [(run["pipeline"], run["status"]) for run in runs] == [
        ("shop/parent", "completed"),
        ("shop/child", "completed"),
        ("shop/grandchild", "completed"),
    ]
    assert chained("resume").out == "Nothing is unfinished.\n"
    assert "completed  shop/grandchild" in chained("run", "acme", "shop/parent").out


def test_what_the_last_run_of_a_backfill_starts_ends_too(chained: Cli) -> None:
    words = ("--from", "2026-03-01", "--to", "2026-03-02")
    assert chained("backfill", "acme", "shop/parent", *words).code == 0
    runs = chained("history", "acme", "--json").data["runs"]
    assert [run["status"] for run in runs] == ["completed"] * 6


def test_a_run_that_a_pause_holds_is_left_to_resume_and_the_answer_says_so(chained: Cli) -> None:
    chained("pipeline", "pause", "acme", "shop/child")
    answer = chained("run", "acme", "shop/parent")
    assert answer.code == 1
    assert "queued  shop/child" in answer.out
    assert "later:  convergence resume" in answer.out
    assert "claimed" not in chained("logs").out, "it was not started and stopped"
    chained("pipeline", "resume", "acme", "shop/child")
    resumed = chained("resume", "--json")
    assert [run["status"] for run in resumed.data["runs"]] == ["completed"] * 2


def test_a_backfill_that_only_a_limit_or_a_pause_holds_says_so_and_is_left_to_resume(cli: Cli) -> None:
    cli("org", "create", "acme", "--daily", "2")
    answer = cli("backfill", "acme", "example/hello", "--from", "2026-03-01", "--to", "2026-03-03")
    assert answer.code == 1
    assert answer.err.count("waits for Daily pipeline limit (2) reached; it opens at 00:00 UTC.") == 1, answer.err
    assert "running: 1 running, 2 done" in answer.out
    assert "later:  convergence backfills resume acme bf_" in answer.out
    (left_one,) = cli("backfills", "list", "acme", "--json").data["backfills"]
    assert left_one["status"] == "running"
    assert cli("resume").code == 1, "it waits still"
    cli("backfills", "cancel", "acme", left_one["backfill_id"])
    cli("org", "create", "calm")
    cli("pipeline", "pause", "calm", "example/hello", "--reason", "restated")
    held = cli("backfill", "calm", "example/hello", "--from", "2026-03-01", "--to", "2026-03-02", "--json")
    assert (held.code, held.data["status"], held.data["counts"]["running"]) == (1, "running", 1)
    cli("pipeline", "resume", "calm", "example/hello")
    resumed = cli("backfills", "resume", "calm", held.data["backfill_id"])
    assert (resumed.code, "done: 2 done" in resumed.out) == (0, True), resumed.err


@pytest.mark.parametrize("org", ["acme", "_all"])
def test_a_replay_of_orgs_without_room_says_what_it_waits_for_and_is_left_to_resume(
    cli: Cli, tmp_path: Path, org: str
) -> None:
    cli("org", "create", "acme", "--concurrent", "1")
    for _ in range(2):
        cli("run", "acme", "shop/load")
    path = "orgs/acme/usage/current"
    later = "2100-01-01T00:00:00.000000Z"
    left(tmp_path, lambda services: services.documents.commit([Patch(path, {("active", "run_elsewhere"): later})]))
    words = ("replay-all", org, "--pipeline", "shop/load", "--parameter", GOOD_FILE, "--per-minute", "600")
    answer = cli("dead-letters", *words)
    assert answer.code == 1
    assert answer.err.count("waits for acme: Concurrent pipeline limit (1) reached") == 1, answer.err
    assert "running (waits for acme: Concurrent pipeline limit (1) reached" in answer.out
    replay_id = answer.out.split()[0]
    assert f"later:  convergence dead-letters resume {org} {replay_id}" in answer.out
    waiting = cli("resume", "--json")
    assert (waiting.code, waiting.err) == (1, "")
    assert waiting.data["replays"][0]["waits_for"].startswith("acme: Concurrent pipeline limit (1)")
    left(tmp_path, lambda services: services.documents.commit([Patch(path, unset=(("active", "run_elsewhere"),))]))
    resumed = cli("dead-letters", "resume", org, replay_id)
    assert (resumed.code, "done: 2 of 2 completed" in resumed.out) == (0, True), resumed.err


def test_a_replay_waits_for_the_run_that_has_the_only_place_and_says_which(cli: Cli) -> None:
    cli("org", "create", "acme", "--concurrent", "1")
    for _ in range(2):
        cli("run", "acme", "shop/load")
    assert cli("run", "acme", "example/hello", "--no-wait").code == 0
    words = ("replay-all", "_all", "--pipeline", "shop/load", "--parameter", GOOD_FILE, "--per-minute", "600")
    answer = cli("dead-letters", *words)
    assert (answer.code, "done: 2 of 2 completed" in answer.out) == (0, True), answer.err


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (("dead-letters", "replay-all", "acme", "--failures-max", "1001"), "1<=x<=1000"),
        (("backfill", "acme", "example/hello", "--from", "TODAY-3", "--failures-max", "1101"), "1<=x<=1100"),
    ],
)
def test_more_failures_than_may_be_are_refused_with_the_limit(acme: Cli, words: tuple[str, ...], limit: str) -> None:
    answer = acme(*words)
    assert (answer.code, limit in answer.err) == (2, True), answer.err
