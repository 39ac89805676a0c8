"""Deliveries of webhooks on pages: the log, retries, the test call; for the own org, and intact whatever came back."""

from __future__ import annotations

import asyncio

import pytest

from convergence.domain.records import changed
from convergence.domain.webhook_delivery import RETRIED_FOR, DeliveryStatus, WebhookDelivery
from convergence.engine import services
from convergence.engine.webhooks.change import webhooks_of
from convergence.engine.webhooks.log import require_delivery
from convergence.ports.documents import Replace
from tests.unit.entry.api.receivers import created, receiver
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check

HOOKS = "/ui/acme/settings/webhooks"


async def replace(api: Api, delivery: WebhookDelivery) -> None:
    """Store a delivery as something else left it."""
    document = await api.at.services.documents.get(delivery.path)
    assert document is not None
    await api.at.services.documents.commit([Replace(delivery.path, document.version, delivery.to_data())])


def test_the_test_call_leads_to_its_delivery(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        with receiver() as (url, came):
            made = await created(api, url=url)
            sent = await browser.send(HOOKS, f"{HOOKS}/{made['webhook_id']}/test", {})
            got = await asyncio.to_thread(came.get, timeout=30)
        where = sent.headers["location"]
        assert where == f"{HOOKS}/deliveries/{got.headers['Convergence-Delivery']}"
        page = await browser.get(where)
        assert "Delivered" in page
        assert "The receiver answered 204." in page
        assert "webhook.test" in page
        assert where in await browser.get(HOOKS)  # among the latest

    run_scenario(scenario)


def test_a_delivery_that_was_refused_says_why_and_when_it_is_sent_again(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        with receiver(503) as (url, _):
            made = await created(api, url=url)
            tried = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")).json()
        where = f"{HOOKS}/deliveries/{tried['delivery_id']}"
        page = await browser.get(where)
        assert "Failed" in page
        assert "503" in page
        assert "Tried again at" not in page  # a test call is sent once
        stored = await require_delivery(api.at.services, "acme", tried["delivery_id"])
        pending = changed(
            stored, status=DeliveryStatus.PENDING, ended_at=None, give_up_at=stored.created_at + RETRIED_FOR
        )
        again = changed(pending, attempts=2)
        await replace(api, again.after(stored.log[0], wait_s=90, final=False, token="t"))
        page = await browser.get(where)
        assert "Tried again at" in page
        assert "The latest 2 of 2" in page
        listed = f"{HOOKS}/deliveries"
        for query, shown in (("", True), ("status=pending", True), ("status=failed", False)):
            assert (stored.delivery_id in await browser.get(f"{listed}?{query}")) == shown, query
        assert stored.delivery_id in await browser.get(f"{listed}?webhook={made['webhook_id']}")
        assert "No delivery matches" in await browser.get(f"{listed}?webhook=whk_0")
        for wrong in ("status=lost", "cursor=x"):
            await browser.get(f"{listed}?{wrong}", 422)

    run_scenario(scenario)


def test_deliveries_have_pages(run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "WEBHOOK_TESTS_PER_MINUTE", 51)

    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        with receiver() as (url, _):
            made = await created(api, url=url)
            for _ in range(51):
                await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")
        page = await browser.get(f"{HOOKS}/deliveries")
        assert page.count("<tr data-move>") == 50
        older = page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
        assert (await browser.get(f"{HOOKS}/deliveries{older}")).count("<tr data-move>") == 1
        assert (await browser.get(HOOKS)).count("/deliveries/whd_") == 10

    run_scenario(scenario)


def test_another_orgs_delivery_is_not_found_and_a_reader_sends_no_test(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        with receiver() as (url, came):
            made = await created(api, url=url)
            tried = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")).json()
            assert came.get(timeout=30)
            other = await Browser.signed_in(api, "globex")
            await other.get(f"/ui/globex/settings/webhooks/deliveries/{tried['delivery_id']}", 404)
            assert tried["delivery_id"] not in await other.get("/ui/globex/settings/webhooks/deliveries")
            page = "/ui/globex/settings/webhooks"
            await other.send(page, f"{page}/{made['webhook_id']}/test", {}, 404)
            text, _ = await api.at.keys.create("acme", name="runner", scopes=["read", "run"])
            runner = await Browser.signed_in(api, key=text)
            assert "/test" not in await runner.get(f"{HOOKS}/deliveries/{tried['delivery_id']}") + await runner.get(
                HOOKS
            )
            await runner.send(HOOKS, f"{HOOKS}/{made['webhook_id']}/test", {}, 403)
            assert came.empty()
        assert len(await webhooks_of(api.at.services, "acme")) == 1

    run_scenario(scenario, orgs=("acme", "globex"))


def test_what_a_receiver_answers_leaves_the_pages_intact(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser, services = await Browser.signed_in(api), api.at.services
        with receiver() as (url, _):
            made = await created(api, url=url)
            tried = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")).json()
        for text in HOSTILE:
            stored = await require_delivery(services, "acme", tried["delivery_id"])
            hostile = changed(
                stored, event_type=text[:300], log=(changed(stored.log[0], error=text, status_code=None),)
            )
            await replace(api, hostile)
            for path in (HOOKS, f"{HOOKS}/deliveries", f"{HOOKS}/deliveries/{stored.delivery_id}"):
                check(await browser.get(path))

    run_scenario(scenario)
