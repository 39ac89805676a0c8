"""Recent days are run again with each firing, once, each for itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.domain.backfill import Backfill
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.backfills.feed import feed_due
from convergence.engine.schedules.edit import trigger
from convergence.engine.schedules.fire import fire_due
from convergence.ports.documents import Patch
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.works import one

DAYS = "parameters: {start_date: {type: date}, end_date: {type: date}}\n"


async def backfills(engine: Engine) -> list[Backfill]:
    return [Backfill.from_data(each.data) for each in (await engine.documents.query("backfills")).documents]


@pytest.mark.parametrize(
    ("offset", "timezone", "expected"),
    [(-1, "UTC", ("2026-02-25", "2026-02-27")), (-2, "Europe/Berlin", ("2026-02-24", "2026-02-26"))],
)
def test_a_firing_brings_the_days_before_its_own_once(
    engine: Engine, offset: int, timezone: str, expected: tuple[str, str]
) -> None:
    engine.pipeline(f"lookback_days: 3\ndefault_date_offset: {offset}\n" + DAYS + one())
    engine.bus.detach()

    async def scenario() -> None:
        assert engine.clock.now() == datetime(2026, 3, 1, tzinfo=UTC)
        schedule = await add(engine, cron="30 12 * * *", timezone=timezone)
        await engine.clock.sleep(timedelta(hours=12.6).total_seconds())
        assert (await fire_due(engine.services)).fired == 1
        assert (await fire_due(engine.services)).fired == 0
        (found,) = await backfills(engine)
        assert (found.start, found.end, found.states) == (*expected, "...")
        fired = await engine.data(f"runs/{(await stored(engine, schedule)).last_run}")
        assert "start_date" not in fired["parameters"], "its own day is the default"
        await feed_due(engine.services)
        runs = [Run.from_data(each.data) for each in (await engine.documents.query("runs")).documents]
        days = [run.parameters["start_date"] for run in runs if run.backfill_id]
        assert days == [expected[1]], "one after the other, newest first"

    engine.run_scenario(scenario)


def test_neither_a_trigger_nor_a_schedule_with_dates_nor_a_skip_brings_any(engine: Engine) -> None:
    engine.pipeline("lookback_days: 3\n" + DAYS + one())
    engine.bus.detach()

    async def scenario() -> None:
        schedule = await add(engine)
        await trigger(engine.services, "acme", schedule.schedule_id)
        assert await backfills(engine) == []
        dated: dict[tuple[str, ...], Any] = {("parameters",): {"start_date": "2026-01-01", "end_date": "2026-01-31"}}
        await engine.documents.commit([Patch(schedule.path, dated)])
        await engine.clock.sleep(3601)
        assert (await fire_due(engine.services)).fired == 1
        assert await backfills(engine) == []
        pause: dict[tuple[str, ...], Any] = {("parameters",): {}}
        await engine.documents.commit([Patch(schedule.path, pause)])
        await engine.clock.sleep(3600)
        ticked = await fire_due(engine.services)
        assert (ticked.fired, ticked.skipped) == (0, 1), f"its run is active at {to_text(engine.clock.now())}"
        assert await backfills(engine) == []

    engine.run_scenario(scenario)
