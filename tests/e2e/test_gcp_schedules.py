"""Queued runs on Google Cloud: a trigger, a tick and a backfill, through the scheduler as a function of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.ports.documents import Patch
from convergence.ports.warehouse import Scope, Statement
from tests.emulators.bigquery import required
from tests.emulators.cloud import ORG, Cloud, cloud

PIPELINE: Final = "openai/subscriptions"
SEATS: Final = {"seats": "3", "starts_on": "2026-03-01"}
_PATIENCE_S: Final = 400.0
_LOOK_S: Final = 0.5  # between two looks


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, str]]:
    """The installation without the notifier, and the org's key."""
    required()
    with cloud(tmp_path_factory.mktemp("gcp"), ("dispatcher", "step", "dead_letter", "scheduler")) as running:
        yield running, running.onboard()


def ended(running: Cloud, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `look` finds once its status is a last one."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := look())["status"] not in {"completed", "failed", "cancelled", "done", "paused"}:
        assert time.monotonic() < deadline, found
        running.functions["dispatcher"].work_on(_LOOK_S)
    return found


def test_queued_runs_start_by_hints_and_schedules_fire_by_ticks(installation: tuple[Cloud, str]) -> None:
    running, key = installation

    def run(run_id: str) -> dict[str, Any]:
        return ended(running, lambda: running.call("GET", f"/pipelines/status/{ORG}/{run_id}", key=key))

    def last_run() -> Any:
        listed = running.call("GET", f"/scheduler/schedules/{ORG}", key=key)["schedules"]
        return next(each["last_run"] for each in listed if each["schedule_id"] == created["schedule_id"])

    body = {"pipeline": PIPELINE, "name": "daily", "cron_expression": "0 6 * * *", "parameters": {**SEATS}}
    created = running.call("POST", f"/scheduler/schedules/{ORG}", key=key, json=body)
    triggered = running.call("POST", "/scheduler/trigger", key=key, json={"schedule_id": created["schedule_id"]})
    assert run(triggered["run_id"])["status"] == "completed"

    running.use(make_due(created["schedule_id"]))
    running.tick()
    deadline = time.monotonic() + _PATIENCE_S
    while (last := last_run()) in {None, triggered["run_id"]}:
        assert time.monotonic() < deadline
        running.functions["dispatcher"].work_on(_LOOK_S)
    fired = run(last)
    assert (fired["status"], fired["trigger"]) == ("completed", "schedule")

    body = {"from": "2026-03-02", "to": "2026-03-03", "parameters": {**SEATS}}
    backfill = running.call("POST", f"/pipelines/backfill/{ORG}/{PIPELINE}", key=key, json=body)
    path = f"/pipelines/backfills/{ORG}/{backfill['backfill_id']}"
    done = ended(running, lambda: running.call("GET", path, key=key))
    assert (done["status"], done["counts"]["done"], done["progress"]) == ("done", 2, 100)
    assert running.use(days_with_costs)[:2] == ["2026-03-02", "2026-03-03"]


def make_due(schedule_id: str) -> Callable[[Services], Any]:
    """Move the next firing of a schedule to the minute before now."""

    async def moved(services: Services) -> None:
        at: datetime = services.clock.now() - timedelta(minutes=1)
        due: dict[tuple[str, ...], str] = {("slot",): to_text(at), ("due_at",): to_text(at)}
        await services.documents.commit([Patch(f"schedules/{schedule_id}", due)])

    return moved


async def days_with_costs(services: Services) -> list[str]:
    """The days for which the procedure wrote costs."""
    sql = "SELECT DISTINCT x_pipeline_run_date AS day FROM subscription_cost_daily ORDER BY 1"
    result = await services.warehouse.query(Statement(sql, scope=Scope(dataset=f"{ORG}_dev")))
    return [str(row["day"]) for row in result.rows]
