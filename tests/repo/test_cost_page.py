"""The page about cost says what its own figures give, and the figures are the counted ones."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.repo import cost_page

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cost.md").read_text()


def test_the_tables_are_computed() -> None:
    assert cost_page.million_steps() in PAGE
    assert cost_page.a_day() in PAGE
    assert cost_page.idle_minute() in PAGE
    assert cost_page.queued_run() in PAGE


def test_the_page_about_the_engine_has_the_same_tick() -> None:
    reads, writes, messages = (cost_page.TICK[name] for name in ("reads", "writes", "messages"))
    row = f"| a tick with nothing to do | {reads} (an empty query is billed as one) | {writes} | {messages} |"
    assert row in (ROOT / "docs" / "engine.md").read_text()


def test_a_step_costs_a_quarter_of_a_transition_of_step_functions() -> None:
    assert cost_page.engine(cost_page.STEP) <= cost_page.PRICE.step_functions / 4


def test_the_assumed_instances_are_the_deployed_ones() -> None:
    step, scheduler, notifier = (
        yaml.safe_load((ROOT / "functions" / name / "function.yaml").read_text())
        for name in ("step", "scheduler", "notifier")
    )
    assert (step["cpu"], step["memory_mib"] / 1024) == (1, cost_page.STEP_GIB)
    assert (scheduler["cpu"], scheduler["memory_mib"] / 1024) == (1, cost_page.HINT_GIB)
    assert (notifier["cpu"], notifier["memory_mib"] / 1024) == (1, cost_page.EVENT_GIB)
    assert step["concurrency"] >= cost_page.STEP_AT_ONCE
    assert scheduler["concurrency"] >= cost_page.HINTS_AT_ONCE
    assert notifier["concurrency"] >= cost_page.EVENTS_AT_ONCE
