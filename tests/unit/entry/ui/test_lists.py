"""Schedules, dead letters, costs, quality, settings and the operator's page: what they say and what forms do."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

import pytest

from tests.unit.entry.ui.charges import RANGE, charge
from tests.unit.entry.ui.conftest import ROOT_KEY, Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check


async def failing(api: Api, count: int = 1) -> list[str]:
    """Runs that failed."""
    found = []
    for _ in range(count):
        answer = await api.ask("POST", "/pipelines/run/acme/shop/broken", org="acme", params={"wait": 20})
        found.append(answer.json()["run_id"])
    return found


async def weekly(api: Api) -> str:
    """A schedule of acme."""
    body = {
        "pipeline": "shop/cost/daily",
        "name": "weekly",
        "cron_expression": "0 6 * * 1",
        "timezone": "Europe/Berlin",
    }
    answer = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json=body)
    schedule_id: str = answer.json()["schedule_id"]
    return schedule_id


def test_a_schedule_is_shown_in_both_zones_paused_resumed_edited_and_triggered(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        schedule_id = await weekly(api)
        browser = await Browser.signed_in(api)
        page = "/ui/acme/pipelines/schedules"
        text = await browser.get(page)
        assert re.search(r"Mon \d+ \w{3} 06:00", text)
        assert re.search(r"0[45]:00 UTC", text)
        await browser.send(page, f"{page}/{schedule_id}/pause", {})
        assert "Resume shop/cost/daily" in await browser.get(page)
        await browser.send(page, f"{page}/{schedule_id}/resume", {})
        form = f"{page}/{schedule_id}"
        assert (await browser.get(form)).count("<td>+0") == 10
        fields = {
            "cron_expression": "30 7 * * 1",
            "timezone": "UTC",
            "parameters": '{"note": "by hand"}',
            "jitter_minutes": "5",
        }
        await browser.send(form, form, fields)
        stored = (await api.ask("GET", f"/scheduler/schedules/acme/{schedule_id}", org="acme")).json()
        assert (stored["cron_expression"], stored["timezone"], stored["jitter_minutes"]) == ("30 7 * * 1", "UTC", 5)
        assert stored["parameters"] == {"note": "by hand"}
        for wrong in (
            {"cron_expression": "whenever"},
            {"jitter_minutes": "ten"},
            {"parameters": "{"},
            {"timezone": "Mars"},
        ):
            refused = await browser.send(form, form, wrong, 422)
            assert 'role="alert"' in refused.text
        started = await browser.send(page, f"{page}/{schedule_id}/trigger", {})
        assert started.headers["location"].startswith("/ui/acme/runs/run_")
        await browser.get("/ui/acme/pipelines")

    run_scenario(scenario)


def test_a_backfill_shows_its_progress_and_is_cancelled(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        days = {"from": "2026-01-01", "to": "2026-01-09"}
        made = (await api.ask("POST", "/pipelines/backfill/acme/shop/cost/daily", org="acme", json=days)).json()
        browser = await Browser.signed_in(api)
        page = "/ui/acme/pipelines/schedules"
        assert made["backfill_id"] in await browser.get(page)
        await browser.send(page, f"{page}/backfills/{made['backfill_id']}/cancel", {})
        assert "Cancelled" in await browser.get(page)
        await browser.send(page, f"{page}/backfills/{made['backfill_id']}/explode", {}, 404)

    run_scenario(scenario)


def test_dead_letters_are_grouped_and_replayed_one_first_then_all(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        runs = await failing(api, 3)
        browser = await Browser.signed_in(api)
        page = "/ui/acme/dead-letters"
        text = await browser.get(page)
        assert "3 open, with 1 cause" in text
        letter = re.search(r'name="letter" value="([^"]+)"', text)
        assert letter is not None
        one = await browser.send(page, f"{page}/replay-one", {"letter": letter[1]})
        assert one.headers["location"].rpartition("/")[2] == runs[-1]
        cause = {"code": "step.failed", "pipeline": "shop/broken", "step": "load_plans"}
        counted = await browser.send(page, f"{page}/replay-all", cause, 200)
        assert re.search(r"Replay [23] runs\?", counted.text)
        await browser.send(page, f"{page}/replay-all", {**cause, "sure": "1"})
        assert "Replays of many" in await browser.get(page)

    run_scenario(scenario)


def test_discarding_needs_a_reason_and_another_page(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await failing(api)
        browser = await Browser.signed_in(api)
        page, cause = "/ui/acme/dead-letters", {"code": "step.failed", "pipeline": "shop/broken", "step": "load_plans"}
        asked = await browser.send(page, f"{page}/discard", cause, 200)
        assert "Discard 1 dead letter?" in asked.text
        assert "1 open" in await browser.get(page)
        await browser.send(page, f"{page}/discard", {**cause, "reason": "never had that day"})
        assert "No dead letter is open" in await browser.get(page)

    run_scenario(scenario)


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_what_providers_and_tenants_write_leaves_the_lists_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        named = (
            "x_Model",
            "SubAccountName",
            "ServiceName",
            "ServiceProviderName",
            "Tags",
            "x_ChargeKind",
            "PricingUnit",
        )
        await charge(api, [{"BilledCost": Decimal(1), **dict.fromkeys(named, text)}])
        await api.at.keys.create("acme", name=text, scopes=["read"])
        body = {
            "pipeline": "shop/cost/daily",
            "name": "weekly",
            "cron_expression": "0 6 * * 1",
            "parameters": {"note": text},
        }
        made = (await api.ask("POST", "/scheduler/schedules/acme", org="acme", json=body)).json()
        failed = await api.ask(
            "POST", "/pipelines/run/acme/shop/broken", org="acme", params={"wait": 20}, json={"file": text}
        )
        assert failed.json()["status"] == "failed"
        browser = await Browser.signed_in(api, key=ROOT_KEY)
        for path in (
            f"costs?{RANGE}&by=model", f"costs?{RANGE}&by=team", f"costs/charges?{RANGE}", "quality", "settings",
            "dead-letters", "pipelines/schedules", f"pipelines/schedules/{made['schedule_id']}",
            f"runs/{failed.json()['run_id']}/replay",
        ):  # fmt: skip
            check(await browser.get(f"/ui/acme/{path}"))
        check(
            await browser.get("/ui/acme/costs", params={"from": "2026-11-01", "to": "2026-11-03", "model": text[:200]})
        )

    run_scenario(scenario)


def test_an_org_without_data_is_told_what_to_do(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        assert "Three steps to your first costs" in await browser.get("/ui/acme/pipelines")
        assert "No charge in these days" in await browser.get("/ui/acme/costs")
        assert "No check has been recorded" in await browser.get("/ui/acme/quality")
        assert "No dead letter is open" in await browser.get("/ui/acme/dead-letters")
        assert "No schedule yet" in await browser.get("/ui/acme/pipelines/schedules")

    run_scenario(scenario)


def test_keys_are_the_operators_to_make_and_shown_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        org = await Browser.signed_in(api)
        assert "API keys" not in await org.get("/ui/acme/settings")
        await org.send("/ui/acme/settings", "/ui/acme/settings/keys", {"name": "mine", "scope": "admin"}, 403)
        operator = await Browser.signed_in(api, key=ROOT_KEY)
        made = await operator.send(
            "/ui/acme/settings", "/ui/acme/settings/keys", {"name": "laptop", "scope": ["read", "run"]}, 200
        )
        text = re.search(r"cvk_[\w-]+", made.text)
        assert text is not None
        assert text[0] not in await operator.get("/ui/acme/settings")
        key = await api.at.keys.verify(text[0])
        assert key is not None
        assert key.scopes == ("read", "run")
        action = f"/ui/acme/settings/keys/{key.key_id}/revoke"
        asked = await operator.send("/ui/acme/settings", action, {}, 200)
        assert f"Remove <bdi>the key {key.key_id}" in asked.text
        assert await api.at.keys.verify(text[0]) is not None
        await operator.send("/ui/acme/settings", action, {"sure": "1"})
        assert await api.at.keys.verify(text[0]) is None

    run_scenario(scenario)


def test_the_operators_page_lists_orgs_and_an_orgs_key_does_not_open_it(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        operator = await Browser.signed_in(api, key=ROOT_KEY)
        text = await operator.get("/ui/admin")
        assert "2 orgs" in text
        assert "/ui/globex/pipelines" in text
        assert "/ui/globex/pipelines" not in await operator.get("/ui/admin?q=acme")
        await (await Browser.signed_in(api)).get("/ui/admin", 403)

    run_scenario(scenario, orgs=("acme", "globex"))


def this_month(api: Api) -> tuple[dict[str, str], dict[str, datetime]]:
    """The current period as a form names it, and as a charge does."""
    start = api.at.services.clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return {"month": f"{start:%Y-%m}", "issuer": "p", "account": "a"}, {"BillingPeriodStart": start}


async def invoiced(api: Api, amount: str) -> None:
    """Record an invoice of the charges' period."""
    invoice = {
        **this_month(api)[0],
        "invoice_id": "INV-1",
        "currency": "USD",
        "lines": [{"line_id": "1", "amount": amount}],
    }
    answer = await api.ask("POST", "/organizations/acme/invoices", org="acme", json={"invoices": [invoice]})
    assert answer.status_code == 201, answer.text


def test_a_billing_period_is_compared_closed_and_opened_again_for_a_reason(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        period, billed = this_month(api)
        await charge(api, [{"BilledCost": Decimal(cost), **billed} for cost in ("100.10", "200.20")])
        await invoiced(api, "299.31")
        browser = await Browser.signed_in(api)
        listed = check(await browser.get("/ui/acme/quality"))
        links = [value for name, value in listed.attributes if name == "href" and value and "quality/period" in value]
        assert len(links) == 1
        page = str(links[0])
        shown = await browser.get(page)
        for figure in ("300.30 USD", "299.31", "−0.99", "Within tolerance", "tolerance 1.00"):
            assert figure in shown, figure
        api.audited.clear()
        action = "/ui/acme/quality/period"
        await browser.send(page, action, {**period, "status": "Closed", "reason": "settled"})
        assert "Closed. A run that would change one of its charges fails" in await browser.get(page)
        silent = await browser.send(page, action, {**period, "status": "Open", "reason": " "}, 422)
        assert "give the reason for opening it again" in silent.text
        await browser.send(page, action, {**period, "status": "Open", "reason": "x" * 501}, 422)
        await browser.send(page, action, {**period, "status": "Open", "reason": "<b>restated</b>"})
        shown = await browser.get(page)
        check(shown)
        assert "&lt;b&gt;restated" in shown
        assert shown.index("restated") < shown.index("settled")
        stored = (await api.ask("GET", "/organizations/acme/billing-periods", org="acme")).json()["periods"]
        assert [(each["status"], each["actor"][:4]) for each in stored[0]["changes"]] == [
            ("Closed", "key_"),
            ("Open", "key_"),
        ]
        assert sum(b"/quality/period" in each for each in api.audited) == 4
        for wrong in ({"month": "2026-13"}, {"issuer": ""}, {"account": " a"}):
            await browser.send(page, action, {**period, **wrong, "status": "Closed"}, 422)
            await browser.get(action, 422, params={**period, **wrong})

    run_scenario(scenario)


def test_only_admins_close_billing_periods(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        period, _ = this_month(api)
        text, _ = await api.at.keys.create("acme", name="runner", scopes=["read", "run"])
        browser = await Browser.signed_in(api, key=text)
        page = f"/ui/acme/quality/period?month={period['month']}&issuer=p&account=a"
        assert "Close the period" not in await browser.get(page)
        await browser.send(page, "/ui/acme/quality/period", {**period, "status": "Closed"}, 403)
        await browser.send(page, "/ui/globex/quality/period", {**period, "status": "Closed"}, 403)
        await browser.get(page.replace("acme", "globex"), 403)

    run_scenario(scenario, orgs=("acme", "globex"))


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_issuers_and_accounts_of_providers_leave_the_periods_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        named = {"InvoiceIssuerName": text, "BillingAccountId": text, "x_Provider": text}
        await charge(api, [{"BilledCost": Decimal(1), **named, **this_month(api)[1]}])
        browser = await Browser.signed_in(api)
        shown = check(await browser.get("/ui/acme/quality"))
        for link in [value for name, value in shown.attributes if name == "href" and value and "period?" in value]:
            check(await browser.get(str(link)))

    run_scenario(scenario)
