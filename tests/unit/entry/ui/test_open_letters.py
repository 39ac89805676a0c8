"""The number of open dead letters in the navigation: bounded, kept, and looked at again after a form."""

from __future__ import annotations

import re
from typing import Any

import pytest

from convergence.engine.dead_letters import find
from convergence.entry.ui import open_letters
from convergence.errors import Transient
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario


async def shown(browser: Browser, org: str = "acme") -> str:
    """The number in the navigation, empty without one."""
    found = re.search(r'Dead letters <span class="count fail">([^<]*)<', await browser.get(f"/ui/{org}/settings"))
    return "" if found is None else found[1]


def test_each_page_has_the_number_of_open_dead_letters_of_its_org(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counted(*given: Any, **more: Any) -> tuple[int, bool]:
        nonlocal looks
        looks += 1
        return await find.count_open(*given, **more)

    monkeypatch.setattr(open_letters, "count_open", counted)

    async def scenario(api: Api) -> None:
        for _ in range(3):
            await api.run("shop/broken")
        browser = await Browser.signed_in(api)
        assert [await shown(browser) for _ in range(3)] == ["3", "3", "3"]
        assert looks == 1  # one look for all pages
        cause = {"code": "step.failed", "pipeline": "shop/broken", "step": "load_plans", "reason": "known"}
        await browser.send("/ui/acme/dead-letters", "/ui/acme/dead-letters/discard", cause)
        assert await shown(browser) == ""
        assert await shown(await Browser.signed_in(api, "globex"), "globex") == ""

    run_scenario(scenario, orgs=("acme", "globex"))


def test_the_number_is_a_lower_bound_where_there_are_many(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_letters, "LOOKED_MAX", 2)

    async def scenario(api: Api) -> None:
        for _ in range(3):
            await api.run("shop/broken")
        assert await shown(await Browser.signed_in(api)) == "2+"

    run_scenario(scenario)


def test_a_page_opens_while_the_number_cannot_be_found_out(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Transient("the store does not answer")

    monkeypatch.setattr(open_letters, "count_open", away)

    async def scenario(api: Api) -> None:
        assert await shown(await Browser.signed_in(api)) == ""

    run_scenario(scenario)
