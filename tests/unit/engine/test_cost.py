"""What a step costs in reads, writes and messages, counted exactly (design: docs/engine.md §11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence.engine.reconcile import reconcile_run
from convergence.engine.tick import on_tick
from convergence.ports.bus import TICK as TICK_TOPIC
from convergence.ports.bus import Delivery, Message
from convergence.ports.documents import Document, Documents, Page, Write
from convergence.worker import LocalWorker
from tests.repo.cost_page import TICK
from tests.unit.engine.conftest import Engine
from tests.unit.engine.shapes import chain


class Counting:
    """`Documents` and `Bus` that count as Firestore and Pub/Sub would bill: documents and messages."""

    def __init__(self, engine: Engine) -> None:
        self.counts: Counter[str] = Counter()
        self._documents: Documents = engine.documents
        self._bus = engine.bus

    async def get(self, path: str) -> Document | None:
        self.counts["reads"] += 1
        return await self._documents.get(path)

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        self.counts["reads"] += len(paths)
        return await self._documents.get_many(paths)

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        self.counts["writes"] += len(writes)
        return await self._documents.commit(writes)

    async def query(self, *arguments: Any, **options: Any) -> Page:
        page = await self._documents.query(*arguments, **options)
        self.counts["reads"] += max(1, len(page.documents))
        return page

    async def count(self, *arguments: Any, **options: Any) -> int:
        self.counts["counts"] += 1
        return await self._documents.count(*arguments, **options)

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self.counts["events" if topic == "run-events" else "messages"] += len(messages)
        await self._bus.publish(topic, messages)


def wired(folder: Path) -> tuple[Engine, Counting]:
    """Return an engine whose documents and bus are counted."""
    folder.mkdir(exist_ok=True)
    engine = Engine(folder)
    counting = Counting(engine)
    ports: Any = counting
    orgs = type(engine.services.orgs)(ports)
    engine.services = replace(engine.services, documents=ports, bus=ports, orgs=orgs)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus)
    return engine, counting


@pytest.fixture
def counting(tmp_path: Path) -> tuple[Engine, Counting]:
    return wired(tmp_path)


def cost_of(engine: Engine, counting: Counting, steps: str) -> Counter[str]:
    engine.pipeline("steps:\n" + steps)

    async def scenario() -> Counter[str]:
        counting.counts.clear()
        await engine.start()
        await engine.bus.idle()
        return Counter(counting.counts)

    return engine.run_scenario(scenario)


def test_a_step_of_a_chain_costs_two_reads_two_writes_one_message_and_two_events(tmp_path: Path) -> None:
    costs = []
    for length in (10, 30):
        engine, counting = wired(tmp_path / str(length))
        costs.append(cost_of(engine, counting, chain(length)))
    per_step = {name: (costs[1][name] - costs[0][name]) / 20 for name in costs[1]}
    # The run and the dependency are read. The step's own document is not there yet, and Firestore bills the look for it
    # as a read; its creation proves the same (ADR 16).
    assert per_step == {"reads": 2, "writes": 2, "messages": 1, "events": 2}


def test_starting_and_ending_a_run_costs_what_the_design_says(counting: tuple[Engine, Counting]) -> None:
    engine, counts = counting
    cost = cost_of(engine, counts, chain(1))
    step = {"reads": 1, "writes": 2, "messages": 1, "events": 2}
    run = {name: cost[name] - step[name] for name in step}
    # Start: org and usage read; run, plan and usage written. End: webhooks read, run and usage written, one hint for
    # the org's queue, which reads the run and finds no queue (docs/scheduling.md).
    assert run == {"reads": 5, "writes": 5, "messages": 1, "events": 2}


def test_a_duplicate_delivery_costs_only_reads(counting: tuple[Engine, Counting]) -> None:
    engine, counts = counting
    engine.pipeline("steps:\n" + chain(2))

    async def scenario() -> Counter[str]:
        from convergence.engine.messages import StepReady
        from convergence.engine.step.run_step import run_step

        run = await engine.start()
        await engine.bus.idle()
        counts.counts.clear()
        await run_step(engine.services, StepReady(run.run_id, "s0", 0))
        return Counter(counts.counts)

    assert engine.run_scenario(scenario) == {"reads": 3}  # run, plan (no longer remembered), step


def test_a_join_of_d_costs_each_finisher_about_one_read(counting: tuple[Engine, Counting]) -> None:
    engine, counts = counting
    width = 200
    wide = "".join(f"  - {{step_id: w{i}, ps_type: generic.noop}}\n" for i in range(width))
    join = f"  - {{step_id: join, ps_type: generic.noop, depends_on: [{', '.join(f'w{i}' for i in range(width))}]}}\n"
    cost = cost_of(engine, counts, wide + join)
    own = width + 1 + width + 3  # each step: the run; the join also its dependencies; the run's start
    assert cost["reads"] - own <= 3 * width
    assert cost["counts"] == 0


def test_a_tick_with_nothing_to_do_costs_what_firestore_bills(counting: tuple[Engine, Counting]) -> None:
    """Counted at the port; test_engine_on_firestore.py counts the same at the wire."""
    engine, counts = counting

    async def scenario() -> Counter[str]:
        tick = Delivery(Message(b""), "m", 1, TICK_TOPIC)
        await on_tick(engine.services, tick)  # with the sweep, which comes hourly
        counts.counts.clear()
        await on_tick(engine.services, tick)
        return Counter(counts.counts)

    assert engine.run_scenario(scenario) == {name: number for name, number in TICK.items() if number}


def test_the_reconciler_reads_a_runs_steps_once_and_writes_it_once(counting: tuple[Engine, Counting]) -> None:
    engine, counts = counting
    engine.pipeline("steps:\n" + chain(5))

    async def scenario() -> Counter[str]:
        run = await engine.start()
        await engine.bus.idle()
        counts.counts.clear()
        await reconcile_run(engine.services, run.run_id)
        return Counter(counts.counts)

    cost = engine.run_scenario(scenario)
    assert (cost["writes"], cost["events"]) == (1, 2)  # its end once more, and the rows of its steps
    assert cost["reads"] <= 5 + 3  # the steps; the run, its plan, and its org for how long it is kept
