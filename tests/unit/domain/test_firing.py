"""Which instants of a schedule are run, skipped or left undecided."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.domain.firing import Decision, decide, next_slot, skip_come
from convergence.domain.records import changed
from convergence.domain.schedule import (
    Blackout,
    Missed,
    Overlap,
    Schedule,
    Timing,
    jitter_of,
    schedule_id_of,
    scheduled_run_id,
)
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


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_catch_up_neither_skips_nor_cancels_itself_while_its_run_is_active(overlap: Overlap) -> None:
    now = at(13, 12)
    first = decided(schedule(at(10), missed=Missed.ALL, overlap=overlap), now)
    waiting = decided(first.schedule, now, ("run_a",))
    assert (waiting.fires, waiting.skips, waiting.cancels) == (None, (), ())
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


@pytest.mark.parametrize("overlap", list(Overlap))
def test_the_last_firing_of_a_catch_up_waits_although_it_is_not_late(overlap: Overlap) -> None:
    given, now = schedule(at(13), missed=Missed.ALL, overlap=overlap), at(13, 12)
    waiting = decided(given, now, ("run_a",), active_since=now)  # the run of the 12th, which came late
    assert (waiting.fires, waiting.skips, waiting.cancels) == (None, (), ())
    assert waiting.schedule.slot == at(13)
    usual = decided(given, at(13), ("run_a",), active_since=at(13) - timedelta(microseconds=1))
    assert bool(usual.skips) == (overlap is Overlap.SKIP), "a run that was there before it: as the overlap says"
    assert usual.schedule.slot == at(14)


def test_last_runs_the_last_slot_outside_blackouts() -> None:
    closing = Blackout(start=at(13, 0), end=at(16, 0), reason="month-end close")
    found = decided(schedule(at(10), blackouts=(closing,)), at(14, 3))
    assert found.fires == at(12)
    assert [(skip.first, skip.last, skip.count, skip.reason) for skip in found.skips] == [
        (at(10), at(11), 2, "a later firing was due too (missed: last)"),
        (at(13), at(14), 2, "it was in a blackout: month-end close"),
    ]
    assert (found.schedule.slot, found.schedule.decided_through) == (at(15), at(14))
    busy = decided(schedule(at(12), blackouts=(closing,)), at(13, 3), ("run_a",))
    assert [(skip.first, skip.reason) for skip in busy.skips] == [
        (at(12), "run run_a was still active"),
        (at(13), "it was in a blackout: month-end close"),
    ]
    assert busy.schedule.slot == at(14)


def test_last_steps_over_several_blackouts_and_skips_all_when_nothing_is_outside() -> None:
    closed = (
        Blackout(start=at(13, 0), end=at(16, 0), reason="close"),
        Blackout(start=at(11, 0), end=at(13, 1), reason="move"),
    )
    found = decided(schedule(at(10), blackouts=closed), at(14, 3))
    assert found.fires == at(10)
    assert [(skip.first, skip.last, skip.count, skip.reason) for skip in found.skips] == [
        (at(11), at(14), 4, "it was in a blackout: move; close")
    ]
    none = decided(schedule(at(11), blackouts=closed), at(14, 3))
    assert none.fires is None
    assert [(skip.first, skip.last, skip.count) for skip in none.skips] == [(at(11), at(14), 4)]
    odd = decided(schedule(at(10, 1, 30), blackouts=(Blackout(start=at(10), end=at(11)),)), at(10, 3))
    assert odd.fires == at(10, 1, 30), "an instant that no calendar has any more counts too"


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


def test_what_is_decided_beside_a_kept_slot_is_neither_run_nor_skipped() -> None:
    kept = changed(schedule(at(10, 1), cron="*/15 * * * *"), decided_through=at(10, 1, 20))
    found = decided(kept, at(10, 1, 50))
    assert found.fires == at(10, 1, 45)
    assert [(skip.first, skip.last, skip.count) for skip in found.skips] == [(at(10, 1), at(10, 1, 30), 2)]
    assert decided(kept, at(10, 1, 25)).fires == at(10, 1)
    assert decided(kept, at(10, 1, 25)).schedule.slot == at(10, 1, 30)
    paused = skip_come(INSTANTS, kept, at(10, 1, 25), "the schedule was paused")
    assert paused is not None
    assert [(skip.first, skip.last, skip.count) for skip in paused.skips] == [(at(10, 1), at(10, 1), 1)]


def test_jitter_spreads_orgs_evenly_and_stays_the_same() -> None:
    delays = [jitter_of(f"org{number}", "p/d/n", 3600) for number in range(3_000)]
    assert delays == [jitter_of(f"org{number}", "p/d/n", 3600) for number in range(3_000)]
    tenths = [sum(delay // 360 == tenth for delay in delays) for tenth in range(10)]
    assert min(tenths) > 230, "a tenth of them in each tenth of the hour, give or take"


@pytest.mark.parametrize(
    ("now", "blackout"),
    [
        (at(10), (at(10), at(11))),  # from its first instant on
        (at(11), (at(10, 1), at(11, 1))),
        (at(10), None),
        (at(11), (at(10), at(11))),  # not at its end
    ],
)
def test_a_blackout_holds_from_its_start_to_before_its_end(
    now: datetime, blackout: tuple[datetime, datetime] | None
) -> None:
    closed = () if blackout is None else (Blackout(start=blackout[0], end=blackout[1]),)
    found = decided(schedule(now, blackouts=closed), now)
    inside = blackout is not None and blackout[0] <= now < blackout[1]
    assert found.fires == (None if inside else now)
    assert [(skip.first, skip.last, skip.count, skip.reason) for skip in found.skips] == (
        [(now, now, 1, "it was in a blackout")] if inside else []
    )


def test_a_firing_at_its_last_instant_is_not_late() -> None:
    given = schedule(at(10), missed=Missed.NONE, starting_deadline_s=3600)
    assert decided(given, at(10, 3)).fires == at(10)
    late = decided(given, at(10, 3) + timedelta(microseconds=1))
    assert late.fires is None
    assert late.skips[0].reason == "it was late (missed: none)"


def test_of_a_late_page_only_what_is_later_than_the_deadline_is_skipped() -> None:
    given = schedule(at(10, 0), cron="0 * * * *", missed=Missed.NONE, starting_deadline_s=7200)
    found = decided(given, at(10, 5))  # 03:00 has been due for exactly two hours
    assert [(skip.first, skip.last, skip.count) for skip in found.skips] == [(at(10, 0), at(10, 2), 3)]
    assert found.schedule.slot == at(10, 3)
    assert decided(found.schedule, at(10, 5)).fires == at(10, 3)


def test_a_firing_that_is_not_late_is_skipped_while_a_run_is_active_whatever_happens_to_missed_ones() -> None:
    found = decided(schedule(at(10), missed=Missed.ALL), at(10, 2, 1), ("run_a",))
    assert found.fires is None
    assert [(skip.first, skip.reason) for skip in found.skips] == [(at(10), "run run_a was still active")]


def test_the_present_of_a_delayed_schedule_ends_where_its_jitter_begins() -> None:
    """A slot whose own delay is not over is not due yet, so a catch-up must not take it as the last one."""
    delay = timedelta(seconds=jitter_of("acme", "p/d/n", 7200))
    given = schedule(at(10), jitter_s=7200)
    found = decided(given, at(12) + delay - timedelta(seconds=1))
    assert found.fires == at(11)
    assert found.schedule.slot == at(12)
    assert decided(given, at(12) + delay).fires == at(12)
    assert [skip.reason for skip in found.skips] == ["a later firing was due too (missed: last)"]


def test_skipping_what_has_come_includes_the_present_instant_and_none_to_come() -> None:
    reason = "the schedule was paused"
    assert skip_come(INSTANTS, schedule(at(10)), at(10) - timedelta(microseconds=1), reason) is None
    assert skip_come(INSTANTS, changed(schedule(at(10)), slot=None), at(10), reason) is None
    found = skip_come(INSTANTS, schedule(at(10), jitter_s=3600), at(10), reason)
    assert found is not None
    assert [(skip.first, skip.last, skip.count, skip.reason) for skip in found.skips] == [(at(10), at(10), 1, reason)]
    assert found.schedule.slot == at(11)


def test_a_schedule_without_a_next_instant_decides_nothing() -> None:
    assert decide(INSTANTS, changed(schedule(at(10)), slot=None), (), at(11)) is None
    assert decide(INSTANTS, changed(schedule(at(10)), due_at=None), (), at(11)) is None


def test_a_full_queue_skips_one_firing() -> None:
    found = decided(schedule(at(10), overlap=Overlap.QUEUE), at(10, 2, 1), ("run_a", "run_b"))
    assert [(skip.first, skip.last, skip.count) for skip in found.skips] == [(at(10), at(10), 1)]


def test_an_instant_that_is_stored_and_no_longer_in_the_calendar_is_decided_as_it_stands() -> None:
    """A time that an edit or a change of a zone's rules took away: it fires, or is skipped, once."""
    odd = at(10, 1, 30)
    assert decided(schedule(odd, end=at(10, 1, 45)), at(10, 1, 40)).fires == odd
    refused = decided(schedule(odd, end=at(10, 1, 45)), at(10, 1, 40), refusal="the org is SUSPENDED")
    assert [(skip.first, skip.last, skip.count) for skip in refused.skips] == [(odd, odd, 1)]


def test_ids_of_schedules_and_of_their_runs_never_change() -> None:
    """Another id would fire today's instants again, and set every schedule up anew."""
    assert schedule_id_of("acme", "p/d/n", "cred_1", "default") == "sch_3512171b21982fccf58b"
    assert jitter_of("acme", "p/d/n", 3600) == 2743
    assert [jitter_of("acme", "p/d/n", most) for most in (0, 1)] == [0, 0]
    assert scheduled_run_id("sch_0f3a5c7e9b1d24680f3a", at(10)) == "run_9ea10acae740b05b1851"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (at(1), at(10)),
        (at(10) - timedelta(microseconds=1), at(10)),  # the start itself is within
        (at(10), at(11)),  # strictly later
        (at(11), at(12)),  # the end too
        (at(12), None),
    ],
)
def test_the_next_instant_lies_within_start_and_end(after: datetime, expected: datetime | None) -> None:
    timing = Timing(cron="0 2 * * *", start=at(10), end=at(12))
    assert next_slot(INSTANTS, timing, after) == expected


def test_a_calendar_may_have_no_instant_left() -> None:
    class Over:
        def after(self, timing: Timing, at: datetime) -> Iterator[datetime]:
            return iter(())

        def before(self, timing: Timing, at: datetime) -> Iterator[datetime]:
            return iter(())

    given = schedule(at(10))
    assert next_slot(Over(), given.timing, at(10)) is None
    found = decide(Over(), given, (), at(13))
    assert found is not None
    assert (found.fires, found.skips, found.schedule.slot) == (at(10), (), None)


def test_a_firing_is_remembered_and_a_skip_is_not_taken_for_one() -> None:
    fired = decided(schedule(at(10)), at(10))
    assert fired.schedule.last_fired_at == at(10)
    skipped = decided(fired.schedule, at(11), ("run_a",))
    assert skipped.fires is None
    assert skipped.schedule.last_fired_at == at(10)
