"""What webhooks hear of a tick: skipped firings, and runs that a later firing cancelled."""

from __future__ import annotations

import pytest

from convergence.domain.schedule import Missed, Overlap
from convergence.domain.webhook_delivery import WebhookDelivery
from convergence.engine.schedules.fire import fire_due
from convergence.engine.tick import admit_due
from convergence.ports.documents import Replace
from tests.unit.engine.conftest import Engine
from tests.unit.engine.schedules.schedules import add, stored
from tests.unit.engine.webhooks.receiver import listening
from tests.unit.engine.works import one

HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def still(engine: Engine) -> None:
    """Nothing starts by itself."""
    engine.pipeline(one())
    engine.bus.detach()


async def heard(engine: Engine) -> list[tuple[str, str]]:
    """Return the type of each delivered event, and its run."""
    page = await engine.documents.query("webhook_deliveries", limit=50)
    found = [WebhookDelivery.from_data(each.data) for each in page.documents]
    return sorted((each.event_type, each.event_id.partition("#")[0]) for each in found)


def test_a_skipped_firing_is_an_event_once(engine: Engine) -> None:
    async def scenario() -> None:
        await listening(engine)
        schedule = await add(engine, overlap=Overlap.SKIP)
        await engine.clock.sleep(HOUR_S + 1)
        await fire_due(engine.services)
        assert await heard(engine) == [], "a run that waits has not ended"
        await engine.clock.sleep(HOUR_S)
        for _ in range(3):
            await fire_due(engine.services)
        (event,) = await heard(engine)
        run = (await engine.documents.query("runs", limit=10)).documents
        assert event[0] == "run.skipped"
        assert event[1] in {each.data["run_id"] for each in run if each.data["status"] == "skipped"}
        assert (await stored(engine, schedule)).last_skip is not None

    engine.run_scenario(scenario)


def test_what_a_firing_cancels_is_an_event(engine: Engine) -> None:
    async def scenario() -> None:
        await listening(engine, events=["run.cancelled"])
        schedule = await add(engine, overlap=Overlap.CANCEL_RUNNING)
        await engine.clock.sleep(HOUR_S + 1)
        await fire_due(engine.services)
        await admit_due(engine.services)
        (first,) = (await stored(engine, schedule)).active_runs
        await engine.clock.sleep(HOUR_S)
        await fire_due(engine.services)
        assert await heard(engine) == [("run.cancelled", first)]

    engine.run_scenario(scenario)


def test_a_schedule_that_was_restored_from_a_backup_moves_on_and_each_skip_is_told_once(engine: Engine) -> None:
    async def scenario() -> None:
        await listening(engine)
        schedule = await add(engine, missed=Missed.LAST)
        await engine.clock.sleep(2 * HOUR_S + 1)
        await fire_due(engine.services)  # a skip and a run
        for _ in range(2):
            document = await engine.documents.get(schedule.path)
            assert document is not None
            await engine.documents.commit([Replace(schedule.path, document.version, schedule.to_data())])
            await fire_due(engine.services)
            await engine.clock.sleep(HOUR_S)
            await fire_due(engine.services)
        slot = (await stored(engine, schedule)).slot
        assert slot is not None
        assert slot > engine.clock.now()
        runs = (await engine.documents.query("runs", limit=50)).documents
        skipped = [("run.skipped", each.data["run_id"]) for each in runs if each.data["status"] == "skipped"]
        assert await heard(engine) == sorted(skipped)

    engine.run_scenario(scenario)
