"""What a person types in the wrong place, too early, or twice at once, and what the command says."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.adapters.local.data_directory import DataDirectory
from convergence.entry.cli.main import COMMANDS
from convergence.errors import StorageLocked
from tests.unit.entry.conftest import Cli

NET = """
pipeline_id: "{org_slug}-shop-net"
provider: shop
steps:
  - {step_id: load_plans, ps_type: openai.seed_csv, source: {file: openai/seed/missing.csv},
     destination: {table: openai_subscription_plans}}
"""


def test_json_without_a_command_lists_the_commands(cli: Cli) -> None:
    answer = cli("--json")
    assert (answer.code, answer.err) == (0, "")
    assert [each["name"] for each in answer.data["commands"]] == list(COMMANDS)
    assert all(each["help"] for each in answer.data["commands"])
    group = cli("--json", "org")
    assert (group.code, group.data["usage"]) == (0, "convergence org")
    assert [each["name"] for each in group.data["commands"]] == ["create", "list", "show"]
    assert "Commands:" in cli("-v").out


@pytest.mark.parametrize(
    "argv",
    [
        ("query", "acme", "SELECT '\udcff'"),
        ("webhooks", "create", "acme", "https://acme.example/\udcff"),
        ("run", "acme", "example/hello", "-p", "greeting=\udce4"),
        ("\udcff",),
    ],
)
def test_an_argument_that_is_not_utf_8_is_named(acme: Cli, argv: tuple[str, ...]) -> None:
    answer = acme(*argv)
    assert answer.code == 2
    assert answer.err.startswith("Error: the argument '")
    assert "is not UTF-8" in answer.err
    answer.err.encode()


@pytest.mark.parametrize("argv", [("history", "acme"), ("run", "acme", "example/hello"), ("status",), ("logs",)])
def test_from_another_folder_the_data_directory_that_was_looked_at_is_named(
    acme: Cli, tmp_path: Path, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    answer = acme("--configs", str(tmp_path / "configs"), *argv)
    assert answer.code == 2
    assert f"There is no data in {other / '.convergence'}: go to the folder where you work" in answer.err
    assert "--data-dir or CONVERGENCE_DATA_DIR" in answer.err


def test_an_unknown_org_names_the_data_directory_and_the_nearest_org(acme: Cli, tmp_path: Path) -> None:
    error = acme("history", "acne").err
    assert "Did you mean 'acme'?" in error
    assert f"(The data directory is {tmp_path / '.convergence'}.)" in error


def test_a_failed_backfill_says_why_and_draws_no_bar_into_a_pipe(acme: Cli, configs: Path) -> None:
    (configs / "shop" / "net.yml").write_text(NET)
    words = ("backfill", "acme", "shop/net", "--from", "2026-11-01", "--to", "2026-11-02", "--concurrency", "2")
    answer = acme(*words)
    assert answer.code == 1
    assert answer.out.count("step.failed: ") == 2
    assert answer.out.count("missing.csv") == 2
    assert "2026-11-01  run_" in answer.out
    assert "again:  convergence replay run_" in answer.out
    assert "slices" not in answer.err
    failed = acme(*words, "--mode", "all", "--json").data["failed"]
    assert {run["error_code"] for run in failed} == {"step.failed"}


@pytest.mark.parametrize(("holder", "code"), [("query acme", 0), ("report acme", 0), ("run shop/load", 4)])
def test_a_query_waits_for_one_that_only_looks_and_for_no_run(
    acme: Cli, monkeypatch: pytest.MonkeyPatch, holder: str, code: int
) -> None:
    lock, tried = DataDirectory.lock, []

    def taken_once(self: DataDirectory, purpose: str) -> None:
        tried.append(purpose)
        if len(tried) == 1:
            raise StorageLocked(f"it is in use by process 1 ({holder})")
        lock(self, purpose)

    monkeypatch.setattr(DataDirectory, "lock", taken_once)
    monkeypatch.setattr(DataDirectory, "holder", lambda _: f"process 1 ({holder})")
    answer = acme("query", "acme", "SELECT 1 AS one")
    assert (answer.code, len(tried)) == (code, 2 if code == 0 else 1)
    assert ("waiting for process 1" in answer.err) == (code == 0)


def test_the_wait_for_one_that_only_looks_ends(acme: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(self: DataDirectory, purpose: str) -> None:
        raise StorageLocked("it is in use by process 1 (query acme)")

    monkeypatch.setattr(DataDirectory, "lock", taken)
    monkeypatch.setattr(DataDirectory, "holder", lambda _: "process 1 (query acme)")
    monkeypatch.setattr("convergence.entry.cli.session.LOOKERS_WAIT_S", 0.0)
    assert acme("query", "acme", "SELECT 1 AS one").code == 4


def test_a_wait_for_a_process_whose_lock_file_was_removed_is_reported(
    acme: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = DataDirectory(tmp_path / ".convergence")
    holder.lock("serve")
    try:
        (tmp_path / ".convergence" / "lock").unlink()
        monkeypatch.setattr("convergence.entry.cli.session.LOOKERS_WAIT_S", 0.5)
        answer = acme("org", "create", "beta")
        assert answer.code == 4
        assert answer.err.count("waiting for another process that uses") == 1
    finally:
        holder.unlock()
