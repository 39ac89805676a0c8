"""Quotas, plans, events."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence.domain.events import run_event
from convergence.domain.plan import Plan, PlanStep, topological_order
from convergence.domain.quota import Limits, Usage
from convergence.domain.status import RunStatus
from convergence.errors import QuotaExceeded
from tests.unit.domain.runs import T0, a_run

LIMITS = Limits(daily=2, monthly=3, concurrent=1)


def reserved(usage: Usage, run: str, *, days: int = 0, counted: bool = True, limits: Limits = LIMITS) -> Usage:
    now = T0 + timedelta(days=days)
    return usage.reserve(run, limits, now=now, until=now + timedelta(hours=1), counted=counted, token="t")


def test_the_concurrent_limit_counts_leases_that_still_live() -> None:
    usage = reserved(Usage(active={}), "r1")
    with pytest.raises(QuotaExceeded, match=r"Concurrent pipeline limit \(1\) reached"):
        reserved(usage, "r2")
    assert set(reserved(usage, "r2", days=1).active) == {"r2"}  # the lost reservation healed by itself


def test_daily_and_monthly_limits_open_again_with_the_calendar() -> None:
    wide = Limits(daily=2, monthly=3, concurrent=99)
    usage = Usage(active={})
    for run in ("r1", "r2"):
        usage = reserved(usage, run, limits=wide)
    with pytest.raises(QuotaExceeded, match=r"Daily pipeline limit \(2\) reached"):
        reserved(usage, "r3", limits=wide)
    usage = reserved(usage, "r3", days=1, limits=wide)
    with pytest.raises(QuotaExceeded, match=r"Monthly pipeline limit \(3\) reached"):
        reserved(usage, "r4", days=2, limits=wide)
    assert reserved(usage, "r4", days=31, limits=wide).month_count == 1


def test_a_machine_whose_clock_is_behind_does_not_open_the_day_again() -> None:
    wide = Limits(daily=2, monthly=3, concurrent=99)
    first_of_month = T0.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def at(usage: Usage, run: str, seconds: int, *, counted: bool = True) -> Usage:
        now = first_of_month + timedelta(seconds=seconds)
        return usage.reserve(run, wide, now=now, until=now + timedelta(hours=1), counted=counted, token="t")

    usage = at(at(Usage(active={}), "r1", 1), "r1", -2, counted=False)
    assert (usage.day, usage.day_count, usage.month_count) == (f"{first_of_month:%Y-%m-%d}", 1, 1)
    usage = at(usage, "r2", -1)
    with pytest.raises(QuotaExceeded, match="Daily"):
        at(usage, "r3", 2)
    long_ago = at(usage, "r3", -2 * 86_400)  # a clock that was set to the far future does not count for ever
    assert (long_ago.day_count, long_ago.month_count) == (1, 1)


def test_a_replay_is_not_a_new_run() -> None:
    usage = reserved(reserved(Usage(active={}), "r1"), "r1", counted=False)
    assert (usage.day_count, set(usage.active)) == (1, {"r1"})
    assert Usage.from_data(usage.to_data()) == usage


@given(st.dictionaries(st.integers(0, 9).map(str), st.lists(st.integers(0, 9).map(str), max_size=4), max_size=10))
def test_an_order_puts_every_step_behind_its_dependencies_or_shows_a_cycle(graph: dict[str, list[str]]) -> None:
    order, cycle = topological_order(graph)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[name] for name, after in pairwise(cycle))
    else:
        place = {name: i for i, name in enumerate(order)}
        assert set(order) == set(graph)
        assert all(place[dep] < place[name] for name, deps in graph.items() for dep in deps if dep in graph)


def test_a_plan_survives_its_trip_through_json() -> None:
    steps = (
        PlanStep(step_id="a", ps_type="x.y", children=("b",), config={"config": {"n": 1}}, timeout_s=5.5),
        PlanStep(step_id="b", ps_type="x.y", depends_on=("a",), needs=("a",), enabled=False, when="parameters.p == 1"),
        PlanStep(step_id="h", ps_type="x.y", trigger="on_failure"),
    )
    plan = Plan("p/d/n", "acme-n", "digest", "p", "d", 60.0, steps, {"v": 1}, {"start_date": "2026-01-01"})
    again = Plan.from_data(orjson.loads(orjson.dumps(plan.to_data())))
    assert again == plan
    assert ([s.step_id for s in again.roots], again.sink_ids) == (["a"], ("b",))
    assert [s.step_id for s in again.end_steps] == ["h"]


def test_the_same_move_is_the_same_event_and_another_move_is_not() -> None:
    first = a_run().advance(RunStatus.VALIDATING, at=T0, reason="accepted", token="t")
    second = first.advance(RunStatus.RUNNING, at=T0, reason="published", token="u")
    assert run_event(first)["id"] == run_event(first)["id"] != run_event(second)["id"]
    assert run_event(second)["type"] == "run.running"
