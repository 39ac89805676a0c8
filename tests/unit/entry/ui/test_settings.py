"""Settings: what runs send by default, and webhooks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.webhooks.change import webhooks_of
from convergence.entry.ui.views.notifications import profile_of
from convergence.errors import InvalidInput
from tests.unit.entry.ui.conftest import ROOT_KEY, Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check

SETTINGS, HOOKS = "/ui/acme/settings", "/ui/acme/settings/webhooks"
URL = "https://hooks.example.com/convergence?of=acme"


@pytest.mark.parametrize(
    "given",
    [
        (["sms"], "", ""),
        (["none", "email"], "", ""),
        ([], "not an address", ""),
        ([], ",".join(f"a{n}@b.example" for n in range(51)), ""),
        ([], "", "c" * 2_001),
    ],
)
def test_notifications_that_no_run_could_send_are_refused(given: tuple[list[str], str, str]) -> None:
    with pytest.raises(InvalidInput):
        profile_of(*given)


def test_what_the_page_says_of_notifications_is_what_a_run_gets(run_scenario: RunScenario) -> None:
    async def planned(api: Api) -> list[tuple[str, str]]:
        """The end steps that a run would have, and to whom they send."""
        request = RunRequest(org="acme", pipeline="shop/cost/daily", parameters={}, trigger="ui", created_by="")
        prepared = await prepare(api.at.services, request)
        settings: list[dict[str, Any]] = [dict(step.config.get("config") or {}) for step in prepared.plan.end_steps]
        names = [step.step_id for step in prepared.plan.end_steps]
        return [
            (name, each.get("to_emails") or each.get("channel") or "")
            for name, each in zip(names, settings, strict=True)
        ]

    async def scenario(api: Api) -> None:
        operator, org = await Browser.signed_in(api, key=ROOT_KEY), await Browser.signed_in(api)
        page = await org.get(SETTINGS)
        assert page.count(">a run fails</th>") == len(await planned(api)) == 2  # by mail and Slack, as shipped
        assert f"{SETTINGS}/notifications" not in page
        fields = {"channel": "email", "emails": "ops@acme.example, cto@acme.example", "slack_channel": ""}
        await org.send(SETTINGS, f"{SETTINGS}/notifications", fields, 403)
        await operator.send(SETTINGS, f"{SETTINGS}/notifications", fields)
        assert await planned(api) == [("notify_email_on_failure", "ops@acme.example, cto@acme.example")]
        page = await org.get(SETTINGS)
        assert page.count(">a run fails</th>") == 1
        assert "ops@acme.example, cto@acme.example" in page
        await operator.send(SETTINGS, f"{SETTINGS}/notifications", {"channel": "none"})
        assert await planned(api) == []
        assert "Nothing is sent." in await org.get(SETTINGS)
        await operator.send(SETTINGS, f"{SETTINGS}/notifications", {"emails": ""})
        assert "notify_channels" not in (await api.at.services.orgs.get("acme")).profile
        assert len(await planned(api)) == 2

    run_scenario(scenario)


def test_a_webhook_is_added_switched_rotated_and_removed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        fields = {"url": URL, "event": ["run.failed", "run.completed"], "pipelines": "openai/*", "description": "chat"}
        made = await browser.send(HOOKS, HOOKS, fields, 200)
        secret = re.search(r'aria-label="The new secret">([^<]+)<', made.text)
        assert secret is not None
        assert secret[1].startswith("whsec_")
        (known,) = await webhooks_of(api.at.services, "acme")
        assert (known.events, known.pipelines, known.enabled) == (("run.completed", "run.failed"), "openai/*", True)
        page = await browser.get(HOOKS)
        assert secret[1] not in page
        assert "hooks.example.com" in page
        assert "1 webhook<" in await browser.get(SETTINGS)
        await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/disable", {})
        assert not (await webhooks_of(api.at.services, "acme"))[0].enabled
        await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/enable", {})
        await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/explode", {}, 404)
        rotated = await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/rotate", {}, 200)
        assert secret[1] not in rotated.text
        assert "2 secrets sign" in await browser.get(HOOKS)
        asked = await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/delete", {}, 200)
        assert "Remove <bdi>the webhook" in asked.text
        await browser.send(HOOKS, f"{HOOKS}/{known.webhook_id}/delete", {"sure": "1"})
        assert await webhooks_of(api.at.services, "acme") == []

    run_scenario(scenario)


def test_webhooks_are_for_admins_of_the_own_org(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        await browser.send(HOOKS, HOOKS, {"url": URL, "event": "run.failed"}, 200)
        (known,) = await webhooks_of(api.at.services, "acme")
        text, _ = await api.at.keys.create("acme", name="runner", scopes=["read", "run"])
        for key, org, expected in ((text, "acme", 403), (api.keys["globex"], "globex", 404)):
            other = await Browser.signed_in(api, key=key)
            page = f"/ui/{org}/settings/webhooks"
            shown = await other.get(page)
            assert ("https://hooks.example.com/…" in shown) == (org == "acme")
            assert URL.partition("?")[0] not in shown
            for action in ("disable", "rotate", "delete"):
                await other.send(page, f"{page}/{known.webhook_id}/{action}", {"sure": "1"}, expected)
        assert [each.enabled for each in await webhooks_of(api.at.services, "acme")] == [True]

    run_scenario(scenario, orgs=("acme", "globex"))


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_a_webhook_that_cannot_be_is_refused_and_the_page_stays_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        for fields in (
            {"url": text},
            {"url": f"https://hooks.example.com/{text}", "pipelines": text, "event": text},
            {"url": "http://hooks.example.com/"},
            {"url": URL},  # no event
        ):
            check((await browser.send(HOOKS, HOOKS, {"description": text, **fields}, 422)).text)
        assert await webhooks_of(api.at.services, "acme") == []

    run_scenario(scenario)
