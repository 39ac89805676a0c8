"""What a schedule does with its undecided instants: a pure function of the schedule, its active runs and the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final, Protocol

from convergence.domain.records import changed
from convergence.domain.schedule import Blackout, LastSkip, Missed, Overlap, Schedule, Timing, jitter_of

COUNTED_MAX: Final = 5_000  # missed instants that are counted one by one; of more, the count says "at least"
_LOOK_AGAIN_S: Final = 60


class Instants(Protocol):
    """The instants of a timing, in UTC, around changes of clocks as docs/scheduling.md says."""

    def after(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly later than `at`, ascending."""
        ...

    def before(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly earlier than `at`, descending."""
        ...


@dataclass(frozen=True, slots=True)
class _Undecided:
    """The instants of a calendar after those that are decided. Of these only a slot that an edit has kept is left."""

    instants: Instants
    through: datetime

    def after(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        return self.instants.after(timing, max(at, self.through))

    def before(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        return takewhile(lambda each: each > self.through, self.instants.before(timing, at))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The schedule after it, and what else goes into the same commit."""

    schedule: Schedule
    fires: datetime | None = None
    held_after: str = ""  # the run that the fired one waits for
    skips: tuple[LastSkip, ...] = ()
    cancels: tuple[str, ...] = ()


def next_slot(instants: Instants, timing: Timing, after: datetime) -> datetime | None:
    """Return the first instant strictly later than `after` within the schedule's start and end."""
    if timing.start is not None and after < timing.start:
        after = timing.start - timedelta(microseconds=1)
    found = next(instants.after(timing, after), None)
    return None if found is None or (timing.end is not None and found > timing.end) else found


def moved(instants: Instants, schedule: Schedule, decided_through: datetime) -> Schedule:
    """Return the schedule at its next slot after everything through `decided_through` is decided."""
    through = max(decided_through, schedule.decided_through or decided_through)
    return placed(changed(schedule, decided_through=through), next_slot(instants, schedule.timing, through))


def placed(schedule: Schedule, slot: datetime | None) -> Schedule:
    """Return the schedule with `slot` as its next undecided instant."""
    if slot is None:
        return changed(schedule, slot=None, due_at=None)
    delay = jitter_of(schedule.org, schedule.pipeline, schedule.timing.jitter_s)
    return changed(schedule, slot=slot, due_at=slot + timedelta(seconds=delay))


def due_since(schedule: Schedule) -> datetime | None:
    """Return since when, or from when on, the next slot is due; what only waits for the end of a run is due already."""
    if schedule.slot is None or schedule.due_at is None:
        return None
    jitter = timedelta(seconds=jitter_of(schedule.org, schedule.pipeline, schedule.timing.jitter_s))
    return min(schedule.due_at, schedule.slot + jitter)


def open_slots(instants: Instants, schedule: Schedule) -> Iterator[datetime]:
    """Yield the next slot and those after it that are outside blackouts, ascending; nothing when it does not fire."""
    if schedule.slot is None:
        return
    timing, found = schedule.timing, schedule.slot
    while True:
        closed = _blackout(timing.blackouts, found)
        if closed is None:
            yield found
        after = max(found, schedule.decided_through or found)
        after = after if closed is None else max(after, closed.end - timedelta(microseconds=1))
        following = next_slot(instants, timing, after)
        if following is None:
            return
        found = following


def decide(
    instants: Instants,
    schedule: Schedule,
    active_runs: Sequence[str],
    now: datetime,
    *,
    active_since: datetime | None = None,
    refusal: str = "",
) -> Decision | None:
    """Decide the slots that are due; None when none is.

    Args:
        instants: The schedule's calendar.
        schedule: As stored.
        active_runs: Those of `schedule.active_runs` that have not ended, oldest first.
        now: The present.
        active_since: When the last of `active_runs` was created.
        refusal: The reason why the org may not run; then every due slot is skipped.
    """
    slot, timing = schedule.slot, schedule.timing
    if slot is None or schedule.due_at is None or schedule.due_at > now:
        return None
    instants = _undecided(instants, schedule)
    schedule = changed(schedule, active_runs=tuple(active_runs))
    horizon = now - timedelta(seconds=jitter_of(schedule.org, schedule.pipeline, timing.jitter_s))
    if refusal:
        return _skip_all(instants, schedule, slot, horizon, refusal)
    if timing.missed is Missed.LAST:
        return _decide_last(instants, schedule, slot, horizon)
    deadline = timedelta(seconds=timing.starting_deadline_s)
    late = now - slot > deadline
    if timing.missed is Missed.NONE and late:
        limit = min(horizon, now - deadline - timedelta(microseconds=1))
        return _skip_all(instants, schedule, slot, limit, "it was late (missed: none)")
    closed = _blackout(timing.blackouts, slot)
    if closed is not None:
        return _decided(instants, schedule, slot, [_one(slot, _closed([closed]))])
    missed = late or (active_since is not None and slot <= active_since)
    if timing.missed is Missed.ALL and missed and active_runs:  # a catch-up neither skips nor cancels itself
        return Decision(schedule=changed(schedule, due_at=now + timedelta(seconds=_LOOK_AGAIN_S)))
    return _fire(instants, schedule, slot)


def skip_come(instants: Instants, schedule: Schedule, now: datetime, reason: str) -> Decision | None:
    """Skip every undecided slot that has come, also one that only waits for its jitter; None when there is none."""
    if schedule.slot is None or schedule.slot > now:
        return None
    return _skip_all(_undecided(instants, schedule), schedule, schedule.slot, now, reason)


def _undecided(instants: Instants, schedule: Schedule) -> Instants:
    return instants if schedule.decided_through is None else _Undecided(instants, schedule.decided_through)


def _decide_last(instants: Instants, schedule: Schedule, slot: datetime, horizon: datetime) -> Decision:
    """Run the last slot outside blackouts; those before it are one skip, and those in a blackout after it another."""
    timing = schedule.timing
    last = _last(instants, timing, slot, horizon)
    chosen: datetime | None = last
    closed: list[Blackout] = []
    while chosen is not None and (blackout := _blackout(timing.blackouts, chosen)) is not None:
        closed.insert(0, blackout)
        before = slot if slot < blackout.start else None  # the slot counts also where no calendar still has it
        earlier = next(instants.before(timing, blackout.start), None)
        chosen = before if before is None or earlier is None else max(before, earlier)
    if chosen is None:
        return _decided(instants, schedule, last, [_range(instants, timing, slot, last, _closed(closed))])
    skips = _skips(instants, timing, slot, chosen, "a later firing was due too (missed: last)")
    if not closed:
        return _fire(instants, schedule, chosen, skips)
    first = next(instants.after(timing, chosen), last)
    return _fire(instants, schedule, chosen, skips, (_range(instants, timing, first, last, _closed(closed)),))


def _fire(
    instants: Instants,
    schedule: Schedule,
    slot: datetime,
    before: tuple[LastSkip, ...] = (),
    after: tuple[LastSkip, ...] = (),
) -> Decision:
    """Fire `slot` as the overlap says, with the skips of those before and after it."""
    timing, active = schedule.timing, schedule.active_runs
    through = after[-1].last if after else slot
    skips = (*before, *after)
    if not active:
        return _decided(instants, schedule, through, skips, fires=slot)
    if timing.overlap is Overlap.CANCEL_RUNNING:
        return _decided(instants, schedule, through, skips, fires=slot, cancels=active)
    if timing.overlap is Overlap.QUEUE and len(active) <= timing.queue_max:
        return _decided(instants, schedule, through, skips, fires=slot, held_after=active[-1])
    full = timing.overlap is Overlap.QUEUE
    reason = "the schedule's queue was full" if full else f"run {active[-1]} was still active"
    return _decided(instants, schedule, through, [*before, _one(slot, reason), *after])


def _decided(
    instants: Instants,
    schedule: Schedule,
    through: datetime,
    skips: Sequence[LastSkip],
    *,
    fires: datetime | None = None,
    held_after: str = "",
    cancels: Sequence[str] = (),
) -> Decision:
    after = moved(instants, schedule, through)
    if skips:
        after = changed(after, last_skip=skips[-1])
    if fires is not None:
        after = changed(after, last_fired_at=fires)
    return Decision(schedule=after, fires=fires, held_after=held_after, skips=tuple(skips), cancels=tuple(cancels))


def _skip_all(instants: Instants, schedule: Schedule, slot: datetime, until: datetime, reason: str) -> Decision:
    last = _last(instants, schedule.timing, slot, until)
    return _decided(instants, schedule, last, [_range(instants, schedule.timing, slot, last, reason)])


def _last(instants: Instants, timing: Timing, slot: datetime, until: datetime) -> datetime:
    """Return the last instant from `slot` on that is not later than `until`."""
    if timing.end is not None:
        until = min(until, timing.end)
    found = next(instants.before(timing, until + timedelta(microseconds=1)), None)
    return slot if found is None else max(slot, found)


def _skips(instants: Instants, timing: Timing, slot: datetime, last: datetime, reason: str) -> tuple[LastSkip, ...]:
    """Return the skip of every instant from `slot` to before `last`, none when there is none."""
    if slot >= last:
        return ()
    before_last = next(instants.before(timing, last), slot)
    return (_range(instants, timing, slot, max(slot, before_last), reason),)


def _range(instants: Instants, timing: Timing, first: datetime, last: datetime, reason: str) -> LastSkip:
    count = 1
    for instant in instants.after(timing, first):
        if instant > last or count >= COUNTED_MAX:
            break
        count += 1
    more = " (and earlier ones, not counted)" if count >= COUNTED_MAX else ""
    return LastSkip(first=first, last=last, count=count, reason=reason + more)


def _one(slot: datetime, reason: str) -> LastSkip:
    return LastSkip(first=slot, last=slot, count=1, reason=reason)


def _blackout(blackouts: Sequence[Blackout], slot: datetime) -> Blackout | None:
    return next((each for each in blackouts if each.start <= slot < each.end), None)


def _closed(blackouts: Sequence[Blackout]) -> str:
    reasons = "; ".join(dict.fromkeys(each.reason for each in blackouts if each.reason))
    return "it was in a blackout" + (f": {reasons}" if reasons else "")
