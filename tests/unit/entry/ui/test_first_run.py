"""An org without data: three steps, the first with a form that takes the provider's key."""

from __future__ import annotations

import re

from convergence.engine.store import require_run
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import check

PAGE = "/ui/acme/pipelines"
KEY = "sk-admin-a-key-that-nobody-must-see-again"


def current(page: str) -> str:
    """The heading of the step that is next."""
    found = re.search(r'<li aria-current="step"><div><h3>([^<]*)', page)
    assert found is not None
    return found[1].strip()


def test_the_first_step_takes_a_key_and_the_second_follows(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        page = await browser.get(PAGE)
        check(page)
        assert current(page) == "Connect a provider"
        offered = re.findall(r"<option>(\w+)</option>", page.partition('id="e1"')[2].partition("</select>")[0])
        assert offered[0] == "openai"
        assert {"anthropic", "deepseek", "gemini"} <= set(offered)
        assert "shop" not in offered  # nothing connects it
        for wrong in (
            {"provider": "shop", "key": KEY},
            {"provider": "x/../openai", "key": KEY},
            {"provider": "openai"},
        ):
            await browser.send(PAGE, "/ui/acme/connect", wrong, 422)
        started = await browser.send(PAGE, "/ui/acme/connect", {"provider": "openai", "key": f" {KEY} "})
        run_id = started.headers["location"].rpartition("/")[2]
        await api.at.wait("acme", run_id, 30)  # the key is tried at an address that no test reaches, and stays stored
        run = (await require_run(api.at.services, "acme", run_id)).run
        assert (run.pipeline, run.trigger, run.created_by[:4]) == ("openai/auth/setup", "ui", "key_")
        assert KEY not in await browser.get(f"/ui/acme/runs/{run_id}")
        (credential,) = await api.at.services.credentials.all("acme")
        assert (credential.provider, await api.at.services.credentials.open(credential)) == (
            "openai",
            KEY,
        )
        page = await browser.get(PAGE)
        assert current(page) == "Run a pipeline for yesterday"
        assert "/ui/acme/run/openai/cost/usage_cost" in page
        await api.run()
        assert "Three steps" not in await browser.get(PAGE)

    run_scenario(scenario)


def test_connecting_a_provider_needs_the_scope_admin(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        text, _ = await api.at.keys.create("acme", name="runner", scopes=["read", "run"])
        browser = await Browser.signed_in(api, key=text)
        page = await browser.get(PAGE)
        assert "Three steps" in page
        assert "/ui/acme/connect" not in page
        await browser.send(PAGE, "/ui/acme/connect", {"provider": "openai", "key": KEY}, 403)
        await browser.send(PAGE, "/ui/globex/connect", {"provider": "openai", "key": KEY}, 403)

    run_scenario(scenario, orgs=("acme", "globex"))
