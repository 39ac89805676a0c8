"""A server fires within the minute; one that is killed around its firings runs each due instant once."""

from __future__ import annotations

import asyncio
import shutil
import signal
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from convergence.bootstrap import EmbeddedOptions, embedded, reading
from convergence.domain.records import changed
from convergence.domain.schedule import Timing, scheduled_run_id
from convergence.engine.schedules import edit
from convergence.ports.documents import Order, Replace, Where
from tests.e2e.conftest import PATIENCE_S, ROOT, Installation, until
from tests.e2e.serving import OPERATOR, serving

SCHEDULES = 40
TICK = """
pipeline_id: "{org_slug}-shop-tick"
provider: shop
steps: [{step_id: look_around, ps_type: generic.noop}]
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    configs = shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (configs / "shop").mkdir()
    (configs / "shop" / "tick.yml").write_text(TICK)
    made = Installation(tmp_path / "data", configs)
    made.call("org", "create", "acme", "--daily", "1000", "--monthly", "1000", "--concurrent", "3")
    return made


async def add_due_schedules(options: EmbeddedOptions) -> list[str]:
    """Store schedules that fired last before the server was there; return the runs that they owe."""
    owed = []
    async with embedded(options, "schedules for a test") as opened:
        services = opened.services
        for number in range(SCHEDULES):
            schedule = edit.new_schedule(
                services,
                org="acme",
                pipeline="shop/tick",
                provider="shop",
                name=f"n{number}",
                timing=Timing(cron="0 0 1 1 *"),
            )
            made = await edit.create(services, schedule)
            slot = services.clock.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
            due = changed(made, slot=slot, due_at=slot)
            document = await services.documents.get(made.path)
            assert document is not None
            await services.documents.commit([Replace(made.path, document.version, due.to_data())])
            owed.append(scheduled_run_id(made.schedule_id, slot))
    return owed


def runs(options: EmbeddedOptions) -> dict[str, str]:
    """Return the status of every scheduled run by its id."""

    async def read() -> dict[str, str]:
        with reading(options) as services:
            page = await services.documents.query(
                "runs", where=[Where("org", "==", "acme")], order=[Order("created_at", descending=True)], limit=500
            )
            found = [document.data for document in page.documents]
            return {run["run_id"]: run["status"] for run in found if run["trigger"] == "schedule"}

    return asyncio.run(read())


def at_least(options: EmbeddedOptions, count: int) -> bool:
    return len(runs(options)) >= count


def test_a_server_killed_around_its_firings_runs_each_instant_once(installation: Installation) -> None:
    options = EmbeddedOptions(data_dir=installation.data_dir, configs_dir=installation.configs)
    owed = asyncio.run(add_due_schedules(options))
    for count in (0, 1, 1, 10, 30):  # before its first firing, in the middle of them, and after
        with serving(installation) as (process, _):
            until(partial(at_least, options, count), process, f"{count} scheduled runs")
            process.send_signal(signal.SIGKILL)
            process.wait()
    with serving(installation) as (process, url):
        until(lambda: list(runs(options).values()).count("completed") == SCHEDULES, process, "all runs are done")
        answer = httpx.get(f"{url}/scheduler/schedules/acme", headers=OPERATOR, timeout=60).json()
        mine = [each for each in answer["schedules"] if each["name"] != "default"]
        assert {each["last_run"] for each in mine} == set(owed)
    assert set(runs(options)) == set(owed)


def test_a_server_fires_a_schedule_within_its_minute(installation: Installation) -> None:
    with serving(installation) as (process, url), httpx.Client(base_url=url, headers=OPERATOR, timeout=60) as client:
        body = {"pipeline": "shop/tick", "name": "often", "cron_expression": "* * * * *"}
        made = client.post("/scheduler/schedules/acme", json=body).json()
        path = f"/scheduler/schedules/acme/{made['schedule_id']}"
        first = datetime.fromisoformat(client.get(f"{path}/next?count=1").json()["firings"][0]["at"])

        def last_run() -> str:
            return str(client.get(path).json()["last_run"] or "")

        until(lambda: bool(last_run()), process, "the first firing", patience_s=60 + PATIENCE_S)
        run_id = scheduled_run_id(made["schedule_id"], first)
        assert run_id in runs(EmbeddedOptions(data_dir=installation.data_dir, configs_dir=installation.configs))
        events = client.get(f"/pipelines/events/acme/{run_id}").text
        assert events.endswith("event: end\ndata: {}\n\n")
        run = client.get(f"/pipelines/status/acme/{run_id}").json()
        assert (run["status"], run["trigger"]) == ("completed", "schedule")
        late = datetime.fromisoformat(run["created_at"]) - first
        assert timedelta(0) <= late < timedelta(minutes=1)


def test_a_server_keeps_to_the_cap_of_the_installation(installation: Installation) -> None:
    with serving(installation, CONVERGENCE_RUNS_MAX="2") as (_, url):
        answer = httpx.post(f"{url}/pipelines/run/acme/shop/tick?wait=60", json={}, headers=OPERATOR, timeout=90)
        assert answer.json()["status"] == "completed"

    async def places() -> object:
        options = EmbeddedOptions(data_dir=installation.data_dir, configs_dir=installation.configs)
        with reading(options) as services:
            document = await services.documents.get("caps/global.0")
            return None if document is None else document.data["held"]

    assert asyncio.run(places()) == {}, "its run had a place, and gave it back"
