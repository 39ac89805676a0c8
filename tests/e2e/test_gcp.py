"""The demo over Google's wire: HTTP to the dispatcher, pushes to five processes, Firestore, BigQuery, KMS.

The measure is the embedded mode: row by row the same tables.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.engine.services import Services
from convergence.entry.cli.output import Output
from convergence.ports.bus import Message
from convergence.ports.warehouse import SHARED_DATASET, Scope, Statement
from convergence.sandbox import ADMIN_KEY
from tests.e2e.conftest import ROOT, Installation, until
from tests.e2e.recompute import billed
from tests.emulators.bigquery import required
from tests.emulators.cloud import ORG, Cloud, cloud, demo
from tests.emulators.pubsub_broker import Fate, Published
from tests.emulators.up import show

_PATIENCE_S = 400.0
_TICK_S = 1.0
_ENDS = {"completed", "failed", "cancelled"}
PIPELINE = "openai/cost/usage_cost"
RUNS = {  # each has days of its own, so that no run replaces another's rows
    "undisturbed": ("2026-03-07", "2026-03-08"),
    "killed": ("2026-03-01", "2026-03-02"),
    "stopped": ("2026-03-03", "2026-03-04"),
    "lost": ("2026-03-05", "2026-03-05"),
    "replayed": ("2026-03-06", "2026-03-06"),
}
TABLES = (
    *("openai_usage_daily_raw", "openai_billing_daily_raw", "openai_cost_daily", "openai_cost_daily_reconciled"),
    *("genai_cost_daily_unified", "cost_data_standard_1_3", "openai_model_pricing"),
)
Tables = Mapping[str, list[Mapping[str, Any]]]


async def tables_of(services: Services) -> Tables:
    """All rows, each table in an order of its own. What differs by nature is left out: times of writing, the
    credential's random id, and the setup's run."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for table in TABLES:
        sql = f"SELECT * EXCEPT (x_ingested_at, x_ingestion_date, x_credential_id) FROM {table}"
        if table == "openai_model_pricing":
            sql = sql.replace("x_credential_id", "x_credential_id, x_run_id, x_pipeline_run_date")
        result = await services.warehouse.query(Statement(sql, scope=Scope(dataset=f"{ORG}_dev"), rows_max=10_000))
        found[table] = sorted(({name: plain(value) for name, value in row.items()} for row in result.rows), key=str)
    return found


def plain(value: Any) -> Any:
    """Return what means the same in one form: numbers without zeros behind them, keys of JSON in order."""
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, str) and value.startswith("{"):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


class Laptop:
    """The embedded mode, with the same sandbox."""

    def __init__(self, folder: Path, provider: str) -> None:
        self._installation = Installation(folder / "embedded")
        self._where = ("-p", f"api_base_url={provider}")
        self._installation.call("org", "create", ORG)
        self._installation.call(
            "run", ORG, "openai/auth/setup", "--secret-from-env", "api_key=KEY", *self._where, KEY=ADMIN_KEY
        )

    def run(self, name: str) -> None:
        """Run the pipeline once."""
        first, last = RUNS[name]
        days = ("-p", f"start_date={first}", "-p", f"end_date={last}")
        self._installation.call("run", ORG, PIPELINE, *days, *self._where, "--idempotency-key", name)

    def tables(self) -> Tables:
        """Return all rows."""

        async def read() -> Tables:
            options = EmbeddedOptions(data_dir=self._installation.data_dir, configs_dir=ROOT / "configs")
            async with embedded(options, "compare") as opened:
                return await tables_of(opened.services)

        return asyncio.run(read())


class World:
    """Both modes, each after an undisturbed run."""

    def __init__(self, folder: Path, running: Cloud) -> None:
        self.cloud = running
        self.key, self.run = demo(running, *RUNS["undisturbed"], name="undisturbed")
        self.laptop = Laptop(folder, running.provider)
        self.laptop.run("undisturbed")

    def begin(self, name: str, **given: Any) -> str:
        """Start a run and return its id at once."""
        first, last = RUNS[name]
        run = self.cloud.run(self.key, PIPELINE, name, wait_s=0, start_date=first, end_date=last, **given)
        run_id: str = run["run_id"]
        return run_id

    def tick_until(self, ended: Mapping[str, str]) -> None:
        """Tick until each run has ended as it is given for its id."""
        deadline = time.monotonic() + _PATIENCE_S
        while wrong := {run: found for run, want in ended.items() if (found := self._status(run)) != want}:
            assert not _ENDS & set(wrong.values()), f"{wrong}, not {ended}"
            assert time.monotonic() < deadline, f"{wrong}, not {ended}"
            self.cloud.tick()
            self.cloud.functions["dispatcher"].work_on(_TICK_S)

    def _status(self, run_id: str) -> str:
        found: str = self.cloud.call("GET", f"/pipelines/status/{ORG}/{run_id}", key=self.key)["status"]
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    required()
    folder = tmp_path_factory.mktemp("gcp")
    with cloud(folder) as running:
        yield World(folder, running)


def differences(here: Tables, there: Tables) -> dict[str, list[Any]]:
    """Return what differs: for each table the counts of rows, or the first cells."""
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        if len(here[table]) != len(there[table]):
            found[table] = [len(here[table]), len(there[table])]
            continue
        rows = zip(here[table], there[table], strict=True)
        cells = [(name, a[name], b.get(name)) for a, b in rows for name in a if a[name] != b.get(name)]
        if cells:
            found[table] = cells[:10]
    return found


def test_the_rows_are_those_of_the_embedded_mode(world: World) -> None:
    here = world.laptop.tables()
    assert differences(here, world.cloud.use(tables_of)) == {}
    assert all(here.values())


def test_the_demo_prints_the_sum_of_the_bill(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    show(world.cloud, world.run, Output())
    printed = re.search(r"to the last digit: ([\d.]+) USD", capsys.readouterr().out)
    assert printed is not None
    assert Decimal(printed[1]) == billed(*map(date.fromisoformat, RUNS["undisturbed"])) > 30


def test_every_move_and_every_call_is_in_the_log_tables(world: World) -> None:
    async def logged(services: Services) -> tuple[list[str], list[str], list[str]]:
        async def column(sql: str) -> list[str]:
            scope = Scope(dataset=SHARED_DATASET)
            return [str(row["value"]) for row in (await services.warehouse.query(Statement(sql, scope=scope))).rows]

        where = f"WHERE run_id = '{world.run['run_id']}'"
        return (
            await column(f"SELECT DISTINCT event_id AS value FROM org_meta_step_logs {where}"),
            await column(f"SELECT DISTINCT status AS value FROM org_meta_pipeline_runs {where} ORDER BY 1"),
            await column("SELECT DISTINCT action AS value FROM org_audit_logs ORDER BY 1"),
        )

    world.cloud.pubsub.idle()
    steps, statuses, actions = world.cloud.use(logged)
    moves = world.cloud.call("GET", f"/pipelines/logs/{ORG}/{world.run['run_id']}/transitions", key=world.key)
    assert len(steps) == sum(move["step_id"] is not None for move in moves["transitions"]) >= 12
    assert {"running", "completed"} <= set(statuses)
    assert {"POST /organizations/onboard", "POST /pipelines/run/{org}/{path}"} <= set(actions)


def test_events_are_streamed_through_the_framework(world: World) -> None:
    run_id = world.run["run_id"]
    moves = world.cloud.call("GET", f"/pipelines/logs/{ORG}/{run_id}/transitions", key=world.key)["transitions"]
    url, headers = f"{world.cloud.url}/pipelines/events/{ORG}/{run_id}", {"X-API-Key": world.key}
    with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
        reported = "".join(answer.iter_text())
    assert reported.count("event: move\n") == len(moves)
    assert reported.endswith("event: end\ndata: {}\n\n")


class Network:
    """Doubles every message, and loses those that would start one step of one run."""

    def __init__(self) -> None:
        self.losing = ""
        self.lost = 0

    def fate(self, message: Published) -> Fate:
        if self.losing and message.attributes.get("run_id") == self.losing and b'"calculate_costs"' in message.data:
            self.lost += "type" not in message.attributes
            return Fate(copies=0)
        return Fate(copies=2)


@pytest.mark.slow
def test_killed_stopped_lost_and_replayed_runs_leave_the_same_rows(world: World) -> None:
    running, network = world.cloud, Network()
    step, sandbox = running.functions["step"], running.sandbox
    running.pubsub.decide(network.fate)
    running.use(lambda services: services.bus.publish("step-ready", [Message(b"poison")]))

    sandbox.stop_at("/usage/embeddings")
    killed = world.begin("killed")
    sandbox.wait_for(step.process, patience_s=_PATIENCE_S)
    step.kill()
    sandbox.release()
    step.start()  # as the platform does

    sandbox.stop_at("/usage/moderations")
    stopped = world.begin("stopped")
    sandbox.wait_for(step.process, patience_s=_PATIENCE_S)
    assert step.stop() == 0  # it ended by itself: Cloud Run would kill it
    sandbox.release()
    step.start()

    lost = network.losing = world.begin("lost")
    replayed = world.begin("replayed", api_base_url="http://127.0.0.1:1/v1")
    world.tick_until({replayed: "failed"})
    until(lambda: network.lost > 0, step.process, "a lost message", patience_s=_PATIENCE_S)
    network.losing = ""
    edited = {"parameters": {"api_base_url": running.provider}}
    running.call("POST", f"/pipelines/replay/{ORG}/{replayed}", key=world.key, json=edited)
    world.tick_until(dict.fromkeys((killed, stopped, lost, replayed), "completed"))

    for name in ("killed", "stopped", "lost", "replayed"):
        world.laptop.run(name)
    assert differences(world.laptop.tables(), running.use(tables_of)) == {}
    assert "this instance is stopping" in step.output()
    # One of the poison; of the replayed run one or two, as its two extractions gave up before or after it failed.
    assert set(running.use(dead_letters)) == {"message.unreadable", "transient"}


async def dead_letters(services: Services) -> list[str]:
    """The codes of all dead letters."""
    page = await services.documents.query("dead_letters")
    return [document.data["error"]["code"] for document in page.documents]
