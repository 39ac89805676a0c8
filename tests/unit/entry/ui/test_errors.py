"""Errors below /ui are pages, whichever layer refuses: with the request's id and nothing of the inside."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from convergence.entry.ui import pages
from convergence.entry.ui.routes import costs
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import check

INSIDE = "password of the store is hunter2"


def is_page(answer: httpx.Response, status: int, title: str) -> None:
    """Refuse an answer that is no page in the dashboard's style."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert f"<h1>{title}</h1>" in answer.text
    assert f"request {answer.headers['x-request-id']}" in answer.text
    assert INSIDE not in answer.text
    check(answer.text)


async def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError(INSIDE)


def test_a_bug_is_a_page_with_the_id_that_the_log_has(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "costs_page", fail)

    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        is_page(await browser.client.get("/ui/acme/costs"), 500, "Something went wrong here")
        assert (await browser.client.get("/ui/acme/pipelines")).status_code == 200
        monkeypatch.setattr(pages, "_environment", None)  # pages cannot be made at all
        answer = await browser.client.get("/ui/acme/costs")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert INSIDE not in answer.text

    run_scenario(scenario)


def test_what_no_route_takes_is_a_page(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        is_page(await browser.client.get("/ui/acme/no-such-page"), 404, "There is no such page")
        refused = await browser.client.post("/ui/acme/costs", data={"a": "b"})
        is_page(refused, 405, "This address does not accept such requests")
        assert refused.headers["allow"] == "GET"
        is_page(await browser.client.request("PUT", "/ui/x/y/z"), 405, "This address does not accept such requests")
        answer = await browser.client.get("/api/v1/no-such-page")
        assert answer.headers["content-type"] == "application/problem+json"

    run_scenario(scenario)


def test_a_body_that_is_too_large_is_answered_with_a_page(run_scenario: RunScenario) -> None:
    async def chunks() -> Any:
        for _ in range(30):
            yield b"x" * 65_536

    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        page = "/ui/acme/pipelines/history"
        is_page(await browser.client.post(page, content=b"x" * 2_000_000), 413, "The request is too large")
        is_page(await browser.client.post(page, content=chunks()), 413, "The request is too large")
        stranger = Browser.of(api)
        is_page(await stranger.client.post("/ui/sign-in", content=b"x" * 100_000), 413, "The request is too large")

    run_scenario(scenario)


def test_a_limit_that_is_reached_is_a_page_that_says_when_to_come_again(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = Browser.of(api)
        for _ in range(2):
            await browser.get("/ui/sign-in")
        refused = await browser.client.get("/ui/sign-in")
        is_page(refused, 429, "Too many requests")
        assert int(refused.headers["retry-after"]) >= 1

    run_scenario(scenario, RATE_LIMIT_ENABLED=True, RATE_LIMIT_REQUESTS_PER_MINUTE=2)
