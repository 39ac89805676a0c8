"""Looking at runs from the command line: status, logs and history."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.entry.cli.run_ids import pick
from convergence.errors import NotFound
from tests.unit.entry.conftest import Cli


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
