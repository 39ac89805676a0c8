"""Limits of an org. Concurrency is a set of leases with expiry, never a number that can leak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text
from convergence.errors import QuotaExceeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(StoredRecord):
    """Runs per UTC day, per UTC month, and at the same time."""

    daily: int
    monthly: int
    concurrent: int

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {**self.unknown, "daily": self.daily, "monthly": self.monthly, "concurrent": self.concurrent}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(StoredRecord):
    """The content of `orgs/{org}/usage/current`. `active`: run id → time after which the reservation is void.

    `paused`: pipeline → reason, as the org has it. It is here because a start writes this document: a start that read
    it before a pause fails, without another read.
    """

    day: str = ""
    day_count: int = 0
    month: str = ""
    month_count: int = 0
    active: Mapping[str, datetime]
    paused: Mapping[str, str] = field(default_factory=dict)
    token: str = ""

    def reserve(
        self, run_id: str, limits: Limits, *, now: datetime, until: datetime, counted: bool, token: str
    ) -> Self:
        """Return the usage with `run_id` active; `counted` is False for a replay, which is not a new run.

        Raises:
            QuotaExceeded: names the limit that is reached and when it is lifted.
        """
        today, month = now.strftime("%Y-%m-%d"), now.strftime("%Y-%m")
        if today < self.day <= (now + timedelta(days=1)).strftime("%Y-%m-%d"):
            today, month = self.day, self.month  # by a clock ahead of this one the day had begun: its count goes on
        day_count = self.day_count if self.day == today else 0
        month_count = self.month_count if self.month == month else 0
        active = {run: end for run, end in self.active.items() if end > now and run != run_id}
        if counted and day_count >= limits.daily:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise QuotaExceeded(
                f"Daily pipeline limit ({limits.daily}) reached; it opens at 00:00 UTC.",
                retry_after_s=(midnight - now).total_seconds(),
            )
        if counted and month_count >= limits.monthly:
            raise QuotaExceeded(f"Monthly pipeline limit ({limits.monthly}) reached; it opens on the 1st, 00:00 UTC.")
        if len(active) >= limits.concurrent:
            raise QuotaExceeded(f"Concurrent pipeline limit ({limits.concurrent}) reached; wait for a run to end.")
        return replace(
            self,
            day=today,
            day_count=day_count + counted,
            month=month,
            month_count=month_count + counted,
            active={**active, run_id: until},
            token=token,
        )

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "day": self.day,
            "day_count": self.day_count,
            "month": self.month,
            "month_count": self.month_count,
            "active": {run: to_text(until) for run, until in self.active.items()},
            "paused": dict(self.paused),
            "token": self.token,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)
