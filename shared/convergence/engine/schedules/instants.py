"""The instants of schedules, from their cron and time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from convergence.config.cron import fire_times, fire_times_before
from convergence.domain.schedule import Timing


# Thousands of orgs have the same times, a page of schedules is decided at one moment, and nearly always the nearest
# instant is all that is asked for.
@lru_cache(maxsize=4096)
def _first_after(cron: str, timezone: str, at: datetime) -> datetime | None:
    return next((found for found in fire_times(cron, timezone, at) if found > at), None)


@lru_cache(maxsize=4096)
def _last_before(cron: str, timezone: str, at: datetime) -> datetime | None:
    return next((found for found in fire_times_before(cron, timezone, at) if found < at), None)


class CronInstants:
    """`firing.Instants` from cron expressions; around changes of clocks see `config.cron.fire_times`."""

    def after(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly later than `at`."""
        first = _first_after(timing.cron, timing.timezone, at)
        if first is not None:
            yield first
            yield from (found for found in fire_times(timing.cron, timing.timezone, first) if found > first)

    def before(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly earlier than `at`, latest first."""
        last = _last_before(timing.cron, timing.timezone, at)
        if last is not None:
            yield last
            yield from (found for found in fire_times_before(timing.cron, timing.timezone, last) if found < last)
