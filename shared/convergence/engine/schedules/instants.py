"""The instants of schedules, from their cron and time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from convergence.config.cron import fire_times, fire_times_before
from convergence.domain.schedule import Timing


class CronInstants:
    """`firing.Instants` from cron expressions; around changes of clocks see `config.cron.fire_times`."""

    def after(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly later than `at`."""
        return (found for found in fire_times(timing.cron, timing.timezone, at) if found > at)

    def before(self, timing: Timing, at: datetime) -> Iterator[datetime]:
        """Yield those strictly earlier than `at`, latest first."""
        return (found for found in fire_times_before(timing.cron, timing.timezone, at) if found < at)
