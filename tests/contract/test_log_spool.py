"""Events of a process that ended before the warehouse was opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.log_process import Process


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_short_processes_leave_their_events_to_the_next_that_opens_the_warehouse(process: Process) -> None:
    process.run_steps("a", "b")
    process.run_steps("c")
    assert not (process.spool.parents[1] / "warehouse.duckdb").exists()
    assert process.run_steps("d", opens=True) == ["a", "b", "c", "d"]
    assert not process.spool.exists()


def test_a_torn_line_is_left_out(process: Process) -> None:
    process.run_steps("a")
    with process.spool.open("ab") as file:
        file.write(b'\n{"id": "e9", "type": "step.comp')
    process.run_steps("b")
    assert process.run_steps("c", opens=True) == ["a", "b", "c"]


def test_a_large_file_is_folded(process: Process) -> None:
    process.run_steps("a")
    assert process.run_steps("b", "c", fold_bytes=500) == ["a", "b", "c"]


def test_a_fold_that_was_killed_is_done_again(process: Process) -> None:
    process.run_steps("a")
    process.spool.rename(process.spool.with_name("events.taken.ndjson"))
    assert process.run_steps("b", opens=True) == ["a", "b"]


def test_nothing_to_tell_opens_nothing(process: Process) -> None:
    assert process.run_steps() == []
    assert not process.spool.parent.exists()
