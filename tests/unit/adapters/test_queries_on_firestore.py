"""Every query of the product on Firestore, with the indexes that an installation declares: none is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.domain.billing_periods import Change, PeriodKey
from convergence.domain.caps import GLOBAL
from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.schedule import Timing
from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.backfills.create import BackfillRequest, create_backfill, plan_backfill
from convergence.engine.backfills.feed import backfills_of, feed_due, running_backfills
from convergence.engine.cancel import cancel
from convergence.engine.dead_letters.feed_replays import feed_replays_due
from convergence.engine.dead_letters.find import Filter
from convergence.engine.dead_letters.replays import ReplaysRequest, replays_of, running_replays
from convergence.engine.dead_letters.replays import create as create_replay
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.enqueue import enqueue, release_held
from convergence.engine.queue.reservation import CapReached, check_turn
from convergence.engine.queue.wake import wake_blocked, wake_due
from convergence.engine.reconcile import count_unclosed, count_unfinished, next_check, reconcile
from convergence.engine.retention.sweep import sweep_due
from convergence.engine.retention.vacuum import let_older_expire, survey
from convergence.engine.schedules import edit
from convergence.engine.schedules.fire import fire_due
from convergence.engine.schedules.store import schedules_of
from convergence.engine.schedules.sync import sync_requested
from convergence.engine.schedules.views import oldest_due, queue_views
from convergence.engine.step.central_queue import execution_queue
from convergence.engine.views import runs as views
from convergence.engine.views.dead_letters import dead_letters
from convergence.engine.views.quota import quota_view
from convergence.engine.views.run_search import Search, search_runs
from convergence.engine.webhooks.change import WebhookChange, create_webhook
from convergence.engine.webhooks.log import find_deliveries
from convergence.engine.webhooks.send import hint_due
from convergence.entry.cli.commands.resume import unfinished
from convergence.entry.cli.run_ids import find_run
from convergence.entry.ui.views.admin import scheduler_lag
from convergence.errors import StepFailed
from convergence.ports.documents import Patch
from convergence.tenants.api_keys import ApiKeyStore
from convergence.tenants.billing import BillingStore
from convergence.tenants.schedule_requests import schedule_request
from convergence.tenants.webhooks import any_webhook_of
from tests.unit.adapters.firestore_engine import FirestoreEngine
from tests.unit.engine.works import TWO, failing

SOURCE = Path(__file__).parents[3] / "shared" / "convergence"
# Where queries are made, and how many; a new one is added here and asked for below.
QUERIES = {
    "engine/views/quota.py": 1,
    "engine/absence.py": 1,  # embedded only, and the query of `next_check`
    "engine/doctor.py": 1,  # the queries of the reconciler and of the tick, with a limit
    "engine/backfills/create.py": 1,
    "engine/backfills/look_up.py": 1,
    "engine/step/central_queue.py": 1,
    "engine/webhooks/log.py": 1,
    "engine/webhooks/send.py": 1,
    "engine/backfills/feed.py": 2,
    "engine/dead_letters/find.py": 1,
    "engine/dead_letters/plan_replays.py": 1,
    "engine/dead_letters/replays.py": 3,
    "engine/finish_run.py": 1,
    "engine/queue/admission.py": 1,
    "engine/queue/enqueue.py": 3,
    "engine/queue/heads.py": 1,
    "engine/queue/reservation.py": 1,
    "engine/queue/wake.py": 2,
    "engine/rounds.py": 1,
    "engine/retention/stages.py": 1,  # embedded only, and the query of the reconciler
    "engine/retention/sweep.py": 3,
    "engine/retention/vacuum.py": 3,
    "engine/schedules/edit.py": 1,
    "engine/schedules/fire.py": 1,
    "engine/schedules/store.py": 1,
    "engine/schedules/sync.py": 1,
    "engine/schedules/views.py": 2,
    "engine/reconcile.py": 4,
    "engine/store.py": 1,
    "engine/views/run_search.py": 1,
    "engine/views/runs.py": 1,
    "entry/cli/completed.py": 1,
    "entry/cli/demo_sandbox.py": 1,
    "entry/cli/sandbox.py": 1,
    "entry/cli/commands/org.py": 1,
    "entry/cli/commands/resume.py": 1,
    "entry/cli/follow.py": 1,  # embedded only, and the query of the reconciler
    "entry/cli/run_ids.py": 1,
    "entry/ui/views/admin.py": 1,
    "tenants/api_keys.py": 1,
    "tenants/billing.py": 1,
    "tenants/credentials.py": 3,
    "tenants/orgs.py": 1,
}


@pytest.fixture
def engine(tmp_path: Path) -> FirestoreEngine:
    engine = FirestoreEngine(tmp_path)
    engine.pipeline(TWO)
    return engine


def test_every_place_that_queries_documents_is_known_here() -> None:
    made = re.compile(r"documents\.(?:query|count)\(")
    rooms = (path for room in ("engine", "tenants", "entry") for path in (SOURCE / room).rglob("*.py"))
    found = {str(path.relative_to(SOURCE)): len(made.findall(path.read_text())) for path in rooms}
    assert {name: count for name, count in found.items() if count} == QUERIES


def test_the_schedule_that_is_due_first_is_found(engine: FirestoreEngine) -> None:
    async def scenario() -> float:
        return await scheduler_lag(engine.services)

    assert engine.run_scenario(scenario) == 0.0


def test_runs_are_searched_by_every_property_and_within_days(engine: FirestoreEngine) -> None:
    async def scenario() -> list[int]:
        run = await engine.run()
        await engine.run()
        properties: dict[str, Any] = {
            "pipeline": run.pipeline,
            "provider": "p",
            "status": "completed",
            "trigger": "manual",
        }
        days: dict[str, Any] = {"since": run.created_at, "until": run.created_at + timedelta(days=1)}
        searches = [Search(**{name: value}, **bounds) for name, value in properties.items() for bounds in ({}, days)]
        searches += [Search(), Search(**properties, **days), Search(trigger="schedule")]
        found = []
        for search in searches:
            page = await search_runs(engine.services, "acme", search, limit=1)
            rest = (
                []
                if page.cursor is None
                else (await search_runs(engine.services, "acme", search, cursor=page.cursor)).runs
            )
            found.append(len({run.run_id for run in (*page.runs, *rest)}))
        return found

    assert engine.run_scenario(scenario) == [2] * 10 + [0]


def test_lists_of_runs_and_dead_letters_are_answered_in_every_combination(engine: FirestoreEngine) -> None:
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> list[int]:
        await engine.run()
        await engine.run()
        filters: list[dict[str, Any]] = [
            {**provider, **status} for provider in ({}, {"provider": "p"}) for status in ({}, {"status": "failed"})
        ]
        found = [len((await views.history(engine.services, "acme", **each))["runs"]) for each in filters]
        first = await views.history(engine.services, "acme", limit=1)
        after = await views.history(engine.services, "acme", limit=1, cursor=first["cursor"])
        assert first["runs"] != after["runs"]
        now = engine.services.clock.now()
        for org in ("acme", None):
            assert len((await dead_letters(engine.services, Filter(org=org)))["dead_letters"]) == 1
            assert len((await dead_letters(engine.services, Filter(org=org, before=now)))["dead_letters"]) == 1
            assert not (await dead_letters(engine.services, Filter(org=org, after=now)))["dead_letters"]
        assert len((await views.status(engine.services, "acme", first["runs"][0]["run_id"]))["steps"]) == 2
        return found

    assert engine.run_scenario(scenario) == [2, 1, 2, 1]


def test_what_has_expired_is_found_and_removed(engine: FirestoreEngine) -> None:
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> None:
        failed, kept = await engine.run(), await engine.run()
        services, now = engine.services, to_text(engine.services.clock.now())
        await services.documents.commit([Patch(failed.path, {("expire_at",): now})])
        found = await survey(services)
        assert (found.runs, found.older_runs, found.dead_letters, found.requests) == (1, 0, 0, 0)
        assert await let_older_expire(services) == 0
        assert (await sweep_due(services)).runs == 1
        assert await services.documents.get(failed.path) is None
        assert not (await dead_letters(services, Filter(org="acme")))["dead_letters"]
        assert await services.documents.get(kept.path) is not None

    engine.run_scenario(scenario)


def test_deliveries_to_webhooks_are_found_by_time_and_by_what_they_are(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        engine.bus.detach()
        hook = (await create_webhook(services, "acme", WebhookChange(url="https://hooks.example.com/"))).webhook
        await cancel(services, "acme", (await engine.start()).run_id)
        assert await hint_due(services) == 1
        for webhook_id in (None, hook.webhook_id):
            for status in (None, DeliveryStatus.PENDING):
                found = await find_deliveries(services, "acme", webhook_id=webhook_id, status=status)
                assert len(found.deliveries) == 1
            assert not (
                await find_deliveries(services, "acme", webhook_id=webhook_id, status=DeliveryStatus.FAILED)
            ).deliveries
        assert await any_webhook_of(services.documents, ["acme"])

    engine.run_scenario(scenario)


def test_requests_of_replays_are_found(engine: FirestoreEngine) -> None:
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> None:
        await engine.run()
        wanted = Filter(org="acme", state=DeadLetterState.OPEN)
        made = await create_replay(engine.services, ReplaysRequest(criteria=wanted))
        assert [each.replay_id for each in await replays_of(engine.services, "acme")] == [made.replay_id]
        assert [each.replay_id for each in await running_replays(engine.services)] == [made.replay_id]
        assert await feed_replays_due(engine.services) == 1

    engine.run_scenario(scenario)


def test_the_latest_run_of_all_orgs_is_found_without_its_id(engine: FirestoreEngine) -> None:
    async def scenario() -> tuple[Any, Any]:
        runs = [await engine.run() for _ in range(3)]
        return await find_run(engine.services, None), runs[-1].run_id

    (org, found), latest = engine.run_scenario(scenario)
    assert (org, found) == ("acme", latest)


def test_what_is_due_unfinished_or_used_up_is_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        engine.bus.detach()  # no worker: the run stays
        run = await engine.start()
        assert await next_check(services) is not None
        assert await oldest_due(services) is None
        assert [found.run_id for found in await unfinished(services)] == [run.run_id]
        assert await count_unclosed(services) == 1
        assert await count_unfinished(services, 10) == 1
        assert await reconcile(services) == 0
        assert await reconcile(services, everything=True) == 1
        assert (await quota_view(services, await services.orgs.get("acme")))["today"]["succeeded"] == 0

    engine.run_scenario(scenario)


def test_orgs_keys_and_credentials_are_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        keys = ApiKeyStore(services.documents, services.clock)
        for name in ("one", "two"):
            await keys.create("acme", name=name, scopes=("run",))
        assert len(await keys.all("acme")) == 2
        for name in ("default", "second"):
            await services.credentials.store("acme", "p", "sk-secret-1", name=name)
        assert await services.credentials.find("acme", "p") is not None
        assert (len(await services.credentials.all("acme")), len(await services.credentials.all("acme", "p"))) == (2, 2)
        assert await services.orgs.slugs() == ["acme"]
        assert await services.credentials.any_of(["acme"])
        assert len((await services.documents.query("orgs/acme/credentials")).documents) == 2

    engine.run_scenario(scenario)


def test_schedules_are_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        engine.bus.detach()
        now = services.clock.now()
        timing = Timing(cron="0 * * * *")
        fresh = edit.new_schedule(services, org="acme", pipeline="p/d/n", provider="p", name="nightly", timing=timing)
        schedule = await edit.create(services, fresh)
        assert [each.schedule for each in await schedules_of(services, "acme")] == [schedule]
        due: dict[tuple[str, ...], str] = {("slot",): to_text(now), ("due_at",): to_text(now)}
        await services.documents.commit([Patch(schedule.path, due), schedule_request("acme", "test")])
        assert await sync_requested(services) == 1
        assert (await fire_due(services)).fired == 1
        assert [each["org"] for each in await queue_views(services)] == ["acme"]

    engine.run_scenario(scenario)


def test_queues_and_caps_are_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        engine.bus.detach()
        assert await execution_queue(engine.services, "acme") == []
        services = replace(engine.services, settings=replace(engine.services.settings, runs_max=1))
        for _ in range(2):
            run = (await prepare(services, RunRequest(org="acme", pipeline="p/d/n"))).run
            await enqueue(services, run)
        with pytest.raises(CapReached):
            await check_turn(services, run)
        assert (await admission_pass(services)).runs == 1
        assert await release_held(services, run.run_id) == 0
        assert await wake_blocked(services, GLOBAL, 10) == 0
        assert await wake_due(services) == 0

    engine.run_scenario(scenario)


def test_backfills_are_answered(engine: FirestoreEngine) -> None:
    engine.pipeline("parameters: {start_date: {type: date, required: true}, end_date: {type: date}}\n" + TWO)

    async def scenario() -> None:
        services = engine.services
        engine.bus.detach()
        request = BackfillRequest(org="acme", pipeline="p/d/n", start=date(2026, 1, 1), end=date(2026, 1, 2))
        stored = await create_backfill(services, request)
        assert [each.backfill_id for each in await backfills_of(services, "acme")] == [stored.backfill_id]
        assert [each.backfill_id for each in await running_backfills(services)] == [stored.backfill_id]
        assert await feed_due(services) == 1
        assert [each.state for each in (await plan_backfill(services, request)).found] == ["missing", "active"]

    engine.run_scenario(scenario)


def test_billing_periods_are_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        store, at = BillingStore(engine.services.documents), engine.services.clock.now()
        keys = [PeriodKey(date(2026, month, 1), "OpenAI", "org-1") for month in (11, 10)]
        for key in keys:
            await store.move("acme", key, Change(status="Closed", at=at, actor="root"))
        assert [period.key for period in await store.periods("acme")] == sorted(keys)
        assert await store.invoices("acme") == []
        assert await store.periods("globex") == []

    engine.run_scenario(scenario)
