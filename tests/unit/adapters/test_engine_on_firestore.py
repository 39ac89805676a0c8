"""The engine runs on Firestore as it is, and costs there what the design says (docs/engine.md §11)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
from convergence.adapters.local.bus import LocalBus
from convergence.bootstrap.embedded import EmbeddedOptions, embedded
from convergence.domain.queue import OrgQueue, queue_path
from convergence.domain.quota import Limits
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dispatch import dispatch
from convergence.engine.dispatch_message import on_dispatch
from convergence.engine.messages import StepReady
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import enqueue
from convergence.engine.reconcile import reconcile_run
from convergence.engine.services import INDEXES
from convergence.engine.step.run_step import on_step_ready, run_step
from convergence.engine.tick import on_tick
from convergence.engine.views.dead_letters import dead_letters
from convergence.engine.views.quota import quota_view
from convergence.engine.views.runs import history
from convergence.errors import StepFailed
from convergence.ports.bus import DISPATCH, STEP_READY, Ack, Delivery, Message
from convergence.ports.bus import TICK as TICK_TOPIC
from convergence.ports.documents import Create, Patch
from convergence.ports.warehouse import Scope, Statement
from convergence.tenants.orgs import Org, OrgStore
from convergence.worker import LocalWorker
from tests.repo.cost_page import LOOK, QUEUED, RUN, STEP, TICK
from tests.unit.adapters.firestore_engine import FirestoreEngine, firestore_server
from tests.unit.engine.shapes import chain
from tests.unit.engine.works import TWO, failing, one

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def engine(tmp_path: Path) -> FirestoreEngine:
    return FirestoreEngine(tmp_path)


def test_a_run_completes_and_its_reservation_returns(engine: FirestoreEngine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> tuple[Any, Any]:
        run = await engine.run()
        return run, await engine.data("orgs/acme/usage/current")

    run, usage = engine.run_scenario(scenario)
    assert (run.status, run.check_at, usage["active"]) == ("completed", None, {})
    assert engine.started == ["extract_a", "load_b"]


def test_a_failed_run_is_listed_and_its_dead_letter_replays_it(engine: FirestoreEngine) -> None:
    engine.pipeline(TWO)
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> tuple[Any, Any]:
        run = await engine.run()
        listed = await history(engine.services, "acme", status="failed", provider="p")
        assert [each["run_id"] for each in listed["runs"]] == [run.run_id]
        assert len((await dead_letters(engine.services, Filter(org="acme")))["dead_letters"]) == 1
        await replay_dead_letter(engine.services, "acme", f"{run.run_id}.load_b.0")
        ended = await engine.worker.wait("acme", run.run_id)
        return ended, await quota_view(engine.services, await engine.services.orgs.get("acme"))

    run, quota = engine.run_scenario(scenario)
    assert (run.status, run.epoch, quota["today"]["succeeded"]) == ("completed", 1, 1)
    assert engine.started == ["extract_a", "load_b", "load_b"]


def test_a_run_whose_message_was_lost_is_found_by_the_reconciler(engine: FirestoreEngine) -> None:
    engine.pipeline(TWO)

    async def scenario() -> Any:
        subscriptions = engine.bus.detach()  # the message for its root is lost
        run = await engine.start()
        engine.bus.attach(subscriptions)
        await engine.documents.commit([Patch(run.path, {("check_at",): "2026-01-01T00:00:00.000000Z"})])
        await engine.worker.start()
        return await engine.worker.wait("acme", run.run_id)

    assert engine.run_scenario(scenario).status == "completed"


def test_a_run_completes_while_answers_are_lost_and_calls_refused(engine: FirestoreEngine) -> None:
    engine.pipeline("steps:\n" + chain(6))

    async def scenario() -> Any:
        for _ in range(5):
            engine.server.faults.cut("Commit")
            engine.server.faults.refuse("BatchGetDocuments")
            engine.server.faults.refuse("Commit", code="ABORTED")
        return await engine.run()

    assert engine.run_scenario(scenario).status == "completed"
    assert engine.started == [f"s{i}" for i in range(6)]


@pytest.mark.parametrize("run_id", ["", ".", "..", "__x__", "a" * 1600, "a/b", "a\n"])
def test_a_hint_whose_run_can_have_no_document_is_kept_and_does_not_come_again(
    engine: FirestoreEngine, run_id: str
) -> None:
    delivery = Delivery(Message(StepReady(run_id, "s0", 0).encode()), "m", 1, STEP_READY)

    async def scenario() -> list[Any]:
        assert await on_step_ready(engine.services, delivery) == Ack()
        return (await engine.documents.query("dead_letters")).documents

    (dead_letter,) = engine.run_scenario(scenario)
    assert dead_letter.data["error"]["code"] == "message.unreadable"


@pytest.mark.parametrize("data", [{"x" * 2_000_000: 1}, {f"field_{i}": 1 for i in range(40_000)}])
def test_a_message_with_megabytes_of_mistakes_is_kept_and_does_not_come_again(
    engine: FirestoreEngine, data: dict[str, Any]
) -> None:
    delivery = Delivery(Message(orjson.dumps(data)), "m", 1, DISPATCH)

    async def scenario() -> list[Any]:
        assert await on_dispatch(engine.services, delivery) == Ack()
        return (await engine.documents.query("dead_letters")).documents

    (dead_letter,) = engine.run_scenario(scenario)
    assert dead_letter.data["error"]["message"].startswith("not a dispatch message: org: Field required")


def test_an_error_text_of_megabytes_does_not_keep_a_step_from_failing(engine: FirestoreEngine) -> None:
    engine.pipeline(one())
    engine.works["load_a"] = failing(StepFailed("x" * 2_000_000))
    run = engine.run_scenario(engine.run)
    assert (run.status, engine.started) == ("failed", ["load_a"])
    assert run.error is not None
    assert run.error["message"].startswith("generic.noop: xxx")
    assert run.error["message"].endswith("x …")


WIDTH = 40
WIDE = "".join(f"  - {{step_id: w{i}, ps_type: generic.noop}}\n" for i in range(WIDTH))
JOIN = f"  - {{step_id: join, ps_type: generic.noop, depends_on: [{', '.join(f'w{i}' for i in range(WIDTH))}]}}\n"


@pytest.mark.parametrize("at_once", [1, 64])
def test_a_wide_join_starts_once_and_costs_little_even_when_all_finish_at_one_moment(
    engine: FirestoreEngine, at_once: int
) -> None:
    engine.pipeline("steps:\n" + WIDE + JOIN)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus, steps_max=at_once)

    async def scenario() -> dict[str, int]:
        engine.forget()
        await engine.start()
        await engine.bus.idle()
        return engine.counts

    cost = engine.run_scenario(scenario)
    assert engine.started.count("join") == 1
    assert engine.started[-1] == "join"
    own = WIDTH + 1 + WIDTH + 3  # each step: the run; the join also its dependencies; the run's start
    second_hint = WIDTH + 2  # of a finisher that looked while the first was being sent
    assert cost["reads"] - own <= 3 * WIDTH + second_hint  # once around, and one read for each finisher
    assert "aggregations" not in cost


def cost_of_chain(folder: Path, length: int) -> dict[str, int]:
    engine = FirestoreEngine(folder)
    engine.pipeline("steps:\n" + chain(length))

    async def scenario() -> dict[str, int]:
        engine.forget()
        await engine.start()
        await engine.bus.idle()
        return engine.counts

    cost: dict[str, int] = engine.run_scenario(scenario)
    return cost


def test_the_bill_of_a_chain_is_that_of_the_design(tmp_path: Path) -> None:
    one, ten, thirty = (cost_of_chain(tmp_path / str(length), length) for length in (1, 10, 30))
    # The run and the dependency are read; no read is spent on the step's own document, which is not there yet (ADR 16).
    step = {name: (thirty[name] - ten[name]) / 20 for name in STEP}
    assert step == STEP
    # Start: org and usage read; run, plan and usage written. End: webhooks read, run and usage written; its hint makes
    # the scheduler read the run and the org's queue. (ADR 6)
    first = {"reads": 1, "writes": 2, "messages": 1, "hints": 0, "events": 2}  # a root has no dependency
    assert {name: one[name] - first[name] for name in first} == RUN


def test_the_bill_of_a_duplicate_and_of_a_look_of_the_reconciler(engine: FirestoreEngine) -> None:
    engine.pipeline("steps:\n" + chain(5))

    async def scenario() -> tuple[dict[str, int], dict[str, int]]:
        run = await engine.start()
        await engine.bus.idle()
        engine.forget()
        await run_step(engine.services, StepReady(run.run_id, "s0", 0))
        duplicate = engine.counts
        engine.forget()
        await reconcile_run(engine.services, run.run_id)
        return duplicate, engine.counts

    duplicate, look = engine.run_scenario(scenario)
    assert duplicate == {"reads": 3}  # run, plan (no longer remembered), step
    assert {name: look.get(name, 0) for name in LOOK} == LOOK


def test_the_bill_of_a_tick_with_nothing_to_do(engine: FirestoreEngine) -> None:
    async def scenario() -> dict[str, int]:
        tick = Delivery(Message(b""), "m", 1, TICK_TOPIC)
        await on_tick(engine.services, tick)  # with the sweep, which comes hourly
        engine.forget()
        await on_tick(engine.services, tick)
        return engine.counts

    tick = engine.run_scenario(scenario)
    assert {name: tick.get(name, 0) for name in TICK} == TICK


def test_the_bill_of_a_run_that_waits_in_the_queue(engine: FirestoreEngine) -> None:
    engine.pipeline(one())
    engine.bus.detach()  # what its steps cost is counted elsewhere

    async def scenario() -> tuple[dict[str, int], dict[str, int]]:
        await engine.services.documents.commit([Create(queue_path("acme"), OrgQueue(org="acme").to_data())])
        await engine.start()
        engine.forget()
        await engine.start()
        direct = engine.counts
        engine.forget()
        prepared = await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
        await enqueue(engine.services, prepared.run)
        await admission_pass(engine.services)  # the one that its hint causes
        return direct, engine.counts

    direct, waited = engine.run_scenario(scenario)
    assert {name: waited.get(name, 0) - direct.get(name, 0) for name in QUEUED} == QUEUED


def test_a_shipped_pipeline_fills_the_warehouse_with_its_state_in_firestore(tmp_path: Path) -> None:
    server = firestore_server()
    request = RunRequest(
        org="acme",
        pipeline="openai/subscriptions",
        parameters={"seats": "3", "starts_on": "2026-11-01", "start_date": "2026-11-10", "end_date": "2026-11-12"},
    )

    async def scenario() -> Any:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS), "test") as opened:
            clock, ids = opened.services.clock, opened.services.ids
            documents = FirestoreDocuments("p", clock, ids, endpoint=server.start(), indexes=INDEXES)
            bus = LocalBus()
            services = replace(opened.services, documents=documents, orgs=OrgStore(documents), bus=bus)
            worker = LocalWorker(services, bus)
            limits = Limits(daily=9, monthly=9, concurrent=9)
            await services.orgs.create(
                Org(slug="acme", name="Acme", status="ACTIVE", limits=limits, created_at=clock.now())
            )
            run = await dispatch(services, request)
            run = await worker.wait("acme", run.run_id)
            sql = "SELECT COUNT(*) FROM subscription_cost_daily"
            rows = (await opened.warehouse.query(Statement(sql, {}, scope=Scope(dataset="acme_dev")))).rows
            await worker.close()
            await documents.close()
            return run, list(rows[0].values())

    run, counted = asyncio.run(scenario())
    server.stop()
    assert (run.status, run.error, counted) == ("completed", None, [3])
