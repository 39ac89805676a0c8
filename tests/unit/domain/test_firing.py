"""Which instants of a schedule are run, skipped or left undecided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.domain.firing import Decision, decide
from convergence.domain.records import changed
from convergence.domain.schedule import Blackout, Missed, Overlap, Schedule, Timing, jitter_of
from convergence.engine.schedules.instants import CronInstants

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 10, tzinfo=UTC)
INSTANTS = CronInstants()


def schedule(slot: datetime, **timing: Any) -> Schedule:
    made = Schedule(
        schedule_id="sch_1",
        org="acme",
        pipeline="p/d/n",
        provider="p",
        name="default",
        timing=Timing(**({"cron": "0 2 * * *"} | timing)),
        created_at=MIDNIGHT,
        updated_at=MIDNIGHT,
    )
    delay = timedelta(seconds=jitter_of("acme", "p/d/n", made.timing.jitter_s))
    return changed(made, slot=slot, due_at=slot + delay)


def at(day: int, hour: int = 2, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def decided(given: Schedule, now: datetime, active: tuple[str, ...] = (), **more: Any) -> Decision:
    found = decide(INSTANTS, given, active, now, **more)
    assert found is not None
    return found


def test_a_due_slot_fires_and_the_schedule_moves_to_the_next() -> None:
    found = decided(schedule(at(10)), at(10, 2, 1))
    assert (found.fires, found.schedule.slot, found.schedule.decided_through) == (at(10), at(11), at(10))
    assert not found.skips


def test_a_slot_in_the_future_is_not_decided() -> None:
    assert decide(INSTANTS, schedule(at(10)), (), at(10, 1, 59)) is None


def test_jitter_delays_the_firing_and_not_the_slot() -> None:
    given = schedule(at(10), jitter_s=3600)
    delay = jitter_of("acme", "p/d/n", 3600)
    assert 0 < delay < 3600
    assert decide(INSTANTS, given, (), at(10) + timedelta(seconds=delay - 1)) is None
    found = decided(given, at(10) + timedelta(seconds=delay))
    assert found.fires == at(10)
    assert found.schedule.due_at == at(11) + timedelta(seconds=delay)


def test_after_an_outage_last_runs_the_last_slot_and_records_the_others_as_one_skip() -> None:
    found = decided(schedule(at(10)), at(13, 12))
    assert found.fires == at(13)
    (skip,) = found.skips
    assert (skip.first, skip.last, skip.count) == (at(10), at(12), 3)
    assert found.schedule.slot == at(14)


def test_all_runs_every_slot_one_after_the_other() -> None:
    given, fired = schedule(at(10), missed=Missed.ALL), []
    while (found := decide(INSTANTS, given, (), at(13, 12))) is not None:
        fired.append(found.fires)
        given = found.schedule
    assert fired == [at(10), at(11), at(12), at(13)]


def test_a_catch_up_does_not_skip_itself_while_its_run_is_active() -> None:
    now = at(13, 12)
    first = decided(schedule(at(10), missed=Missed.ALL), now)
    waiting = decided(first.schedule, now, ("run_a",))
    assert waiting.fires is None
    assert not waiting.skips
    assert waiting.schedule.slot == at(11), "it stays undecided"
    assert waiting.schedule.due_at == now + timedelta(seconds=60)


def test_none_skips_what_is_later_than_its_deadline_and_runs_the_rest() -> None:
    now = at(13, 3)
    late = decided(schedule(at(10), missed=Missed.NONE), now)
    assert late.fires is None
    assert [(skip.first, skip.last, skip.count) for skip in late.skips] == [(at(10), at(12), 3)]
    assert decided(late.schedule, now).fires == at(13)


@pytest.mark.parametrize(
    ("overlap", "fires", "held", "cancels", "skipped"),
    [
        (Overlap.SKIP, None, "", (), 1),
        (Overlap.QUEUE, at(10), "run_a", (), 0),
        (Overlap.CANCEL_RUNNING, at(10), "", ("run_a",), 0),
    ],
)
def test_overlap(overlap: Overlap, fires: datetime | None, held: str, cancels: tuple[str, ...], skipped: int) -> None:
    found = decided(schedule(at(10), overlap=overlap), at(10, 2, 1), ("run_a",))
    assert (found.fires, found.held_after, found.cancels, len(found.skips)) == (fires, held, cancels, skipped)
    assert found.schedule.slot == at(11)


def test_a_full_queue_of_a_schedule_skips() -> None:
    found = decided(schedule(at(10), overlap=Overlap.QUEUE), at(10, 2, 1), ("run_a", "run_b"))
    assert found.fires is None
    assert found.skips[0].reason == "the schedule's queue was full"


def test_a_blackout_skips_with_its_reason() -> None:
    closing = Blackout(start=at(10, 0), end=at(11, 0), reason="month-end close")
    found = decided(schedule(at(10), blackouts=(closing,)), at(10, 2, 1))
    assert found.fires is None
    assert found.skips[0].reason == "it was in a blackout: month-end close"
    assert found.schedule.slot == at(11)


def test_an_org_that_may_not_run_skips_everything_that_is_due() -> None:
    found = decided(schedule(at(10)), at(12, 3), refusal="the org is SUSPENDED")
    assert found.fires is None
    assert [(skip.first, skip.last, skip.count) for skip in found.skips] == [(at(10), at(12), 3)]


def test_a_schedule_ends() -> None:
    found = decided(schedule(at(10), end=at(10, 12)), at(10, 2, 1))
    assert found.fires == at(10)
    assert found.schedule.slot is None
    assert found.schedule.due_at is None


def test_an_outage_of_a_year_of_a_minutely_schedule_is_decided_at_once() -> None:
    found = decided(schedule(at(10), cron="* * * * *"), at(10) + 365 * DAY)
    assert found.fires == at(10) + 365 * DAY
    assert found.skips[0].count == 5_000
    assert "not counted" in found.skips[0].reason


def test_decided_through_never_moves_back() -> None:
    given = changed(schedule(at(10)), decided_through=at(20))
    assert decided(given, at(10, 3)).schedule.decided_through == at(20)


def test_jitter_spreads_orgs_evenly_and_stays_the_same() -> None:
    delays = [jitter_of(f"org{number}", "p/d/n", 3600) for number in range(3_000)]
    assert delays == [jitter_of(f"org{number}", "p/d/n", 3600) for number in range(3_000)]
    tenths = [sum(delay // 360 == tenth for delay in delays) for tenth in range(10)]
    assert min(tenths) > 230, "a tenth of them in each tenth of the hour, give or take"
