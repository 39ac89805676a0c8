"""Recent days that a provider may have restated, as slices of a backfill that a firing brings with it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from convergence.config.cron import zone
from convergence.domain.backfill import Backfill, Mode, SliceState, Step
from convergence.domain.schedule import Schedule
from convergence.domain.times import to_text
from convergence.engine.services import Services

_DATES = frozenset({"date", "start_date", "end_date"})


def lookback(services: Services, schedule: Schedule, slot: datetime, token: str) -> Backfill | None:
    """Return the backfill of the days before a firing's own, None without `lookback_days`.

    Its id follows from schedule and instant, as the run's does. A schedule that sets dates covers those alone.
    """
    pipeline = services.catalog.get(schedule.pipeline).pipeline
    days = pipeline.lookback_days
    if not days or not _DATES.isdisjoint(schedule.parameters):
        return None
    own = slot.astimezone(zone(schedule.timing.timezone)).date() + timedelta(days=pipeline.default_date_offset)
    key = f"{schedule.schedule_id}\n{to_text(slot)}"
    now = services.clock.now()
    return Backfill(
        backfill_id=f"bf_{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}",
        org=schedule.org,
        pipeline=schedule.pipeline,
        start=(own - timedelta(days=days)).isoformat(),
        end=(own - timedelta(days=1)).isoformat(),
        step=Step.DAY,
        mode=Mode.ALL,
        states=SliceState.OPEN.value * days,
        created_at=now,
        updated_at=now,
        credential_id=schedule.credential_id,
        parameters=dict(schedule.parameters),
        failures_max=days,
        next_check_at=now,
        token=token,
    )
