"""Events on their way into the log tables: one append for all that are in work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.log_sink import LogSink
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.engine.log_rows import TABLES, log_row
from convergence.entry.push.log_events import LogEvents
from convergence.errors import InvalidInput, SchemaMismatch, Transient
from convergence.ports.bus import RUN_EVENTS, Ack, Delivery, Message
from convergence.ports.warehouse import SHARED_DATASET, Row, Scope, Statement, TableSchema
from tests.contract.log_events import CONFIGS, NOW, SteppedClock, an_event
from tests.simulation.partial_warehouse import PartialWarehouse
from tests.unit.engine.conftest import Engine

SCHEMAS = TableSchemas(CONFIGS)


class Tables(PartialWarehouse):
    """A warehouse that appends when the test lets it."""

    def __init__(self) -> None:
        self.appends: list[tuple[str, list[str]]] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def append(self, dataset: str, table: TableSchema, rows: Sequence[Row], *, ids: Sequence[str]) -> None:
        assert dataset == SHARED_DATASET
        self.appends.append((table.name, list(ids)))
        self.begun.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if len(rows) != len(ids) or any(row["why"] == "does not fit" for row in rows if "why" in row):
            raise SchemaMismatch("row 1, column why")


def delivery(message: Message) -> Delivery:
    return Delivery(message, "m", 1, RUN_EVENTS)


class World:
    """The handler over a warehouse of the test's."""

    def __init__(self, engine: Engine) -> None:
        self.tables = Tables()
        self.engine = engine
        services = replace(engine.services, warehouse=self.tables, schemas=SCHEMAS)
        self.handler = LogEvents(services)

    def send(self, *messages: Message) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(self.handler(delivery(each))) for each in messages]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Engine(tmp_path))


def test_what_comes_while_an_append_is_under_way_goes_together(world: World) -> None:
    async def scenario() -> None:
        first = world.send(an_event(1))
        await world.tables.begun.wait()
        others = world.send(*(an_event(number) for number in (2, 3, 4)), an_event(5, kind="run"))
        await world.engine.clock.sleep(1)  # virtual: whatever can run has run by then
        assert not any(task.done() for task in (*first, *others))
        world.tables.go.set()
        assert await asyncio.gather(*first, *others) == [Ack()] * 5

    world.engine.run_scenario(scenario)
    assert sorted(world.tables.appends) == [  # tables wait for each other in no order
        ("org_meta_pipeline_runs", ["e5"]),
        ("org_meta_step_logs", ["e1"]),
        ("org_meta_step_logs", ["e2", "e3", "e4"]),
    ]


def test_while_the_warehouse_is_away_each_delivery_hears_it_and_comes_again(world: World) -> None:
    async def scenario() -> None:
        world.tables.go.set()
        world.tables.error = Transient("waiting for BigQuery: 503")
        found = await asyncio.gather(*world.send(an_event(1), an_event(2)), return_exceptions=True)
        assert [type(each) for each in found] == [Transient, Transient]
        world.tables.error = None
        assert await asyncio.gather(*world.send(an_event(1), an_event(2))) == [Ack(), Ack()]

    world.engine.run_scenario(scenario)


@pytest.mark.parametrize(
    "data", [b"poison", b"{}", b'{"type": "run.x", "id": "1", "time": "t", "org": "", "data": {}}']
)
def test_what_is_not_an_event_is_kept_as_a_dead_letter(world: World, data: bytes) -> None:
    async def scenario() -> None:
        assert await world.handler(delivery(Message(data))) == Ack()
        (dead_letter,) = (await world.engine.documents.query("dead_letters")).documents
        assert dead_letter.data["topic"] == RUN_EVENTS

    world.engine.run_scenario(scenario)
    assert world.tables.appends == []


def test_a_row_that_does_not_fit_stops_no_other(world: World) -> None:
    async def scenario() -> None:
        world.tables.go.set()
        found = await asyncio.gather(*world.send(an_event(1), an_event(2, why="does not fit"), an_event(3)))
        assert found == [Ack()] * 3
        (dead_letter,) = (await world.engine.documents.query("dead_letters")).documents
        assert "column why" in dead_letter.data["error"]["message"]

    world.engine.run_scenario(scenario)
    assert [ids for _, ids in world.tables.appends] == [["e1", "e2", "e3"], ["e1"], ["e2"], ["e3"]]


EVENTS = (
    an_event(1),
    an_event(2, rows_written="many", reason="käse", attempt="3"),
    an_event(3, kind="run", duration_ms=12, trigger="api", error="no such table"),
    an_event(4, kind="audit", request_id="q1", actor="key_1", action="POST /x", http_status=202, outcome="done"),
)


def test_both_ways_into_the_tables_make_the_same_rows(tmp_path: Path) -> None:
    async def scenario() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=SteppedClock())
        names = {"runs": TABLES["run"], "steps": TABLES["step"], "audit": TABLES["audit"]}
        tables = {key: SCHEMAS.get(name) for key, name in names.items()}
        sink = LogSink(warehouse, **tables, dataset_of=lambda org: f"{org}_dev", clock=SteppedClock())  # type: ignore[arg-type]
        try:
            sink.accept(EVENTS)
            await sink.flush()
            for event in EVENTS:
                row = log_row(event.data, SCHEMAS.get, at=NOW)
                await warehouse.append("other", row.table, [row.row], ids=[row.row_id])
            for table in names.values():
                found = [
                    (
                        await warehouse.query(
                            Statement(f"SELECT * FROM {table} ORDER BY event_id", scope=Scope(dataset=d))
                        )
                    ).rows
                    for d in (SHARED_DATASET, "other")
                ]
                assert found[0] == found[1] != []
        finally:
            await sink.close()
            warehouse.close()

    asyncio.run(scenario())


def test_a_row_without_what_its_table_requires_is_refused() -> None:
    event = json.loads(an_event(1).data)
    del event["data"]["step_id"]
    with pytest.raises(InvalidInput, match="org_meta_step_logs: it has no step_id"):
        log_row(json.dumps(event).encode(), SCHEMAS.get, at=datetime(2026, 3, 1, tzinfo=UTC))


def test_a_run_that_failed_is_a_line_that_an_alert_counts(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        world.tables.go.set()
        events = (an_event(1, kind="run", status="failed"), an_event(2, kind="run"), an_event(3, status="failed"))
        await asyncio.gather(*world.send(*events))

    world.engine.run_scenario(scenario)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "run r1 of acme failed"
    metric = (CONFIGS.parent / "infra" / "monitoring.tf").read_text()
    assert "^run .* failed" in metric
