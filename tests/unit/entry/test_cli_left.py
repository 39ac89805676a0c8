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
        wanted=Filter(org="acme", pipeline="shop/load"), parameters={name: value}, per_minute=600
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
    assert [run["status"] for run in answer.data["runs"]] == ["completed"]
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
