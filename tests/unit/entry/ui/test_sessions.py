"""Signing in: whose session it is, how long it lasts, and what a cookie alone cannot do."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from html import unescape

import pytest

from convergence.entry.api.sessions import LIFETIME_S, Sessions
from convergence.entry.ui.routes.session import local
from tests.unit.entry.ui.conftest import ROOT_KEY, Api, Browser, RunScenario, csrf, routes

FORM = "/ui/sign-in"


def test_a_session_is_read_until_its_time_is_over_and_by_no_other_key() -> None:
    sessions = Sessions("one root key")
    text, opened = sessions.open("ab" * 32, 1_000.0)
    assert sessions.read(text, 1_000.0) == opened == sessions.read(text, 999.0 + LIFETIME_S)
    assert sessions.read(text, 1_000.0 + LIFETIME_S) is None
    assert sessions.read(text, 999.0) is None  # opened in the future
    assert Sessions("another root key").read(text, 1_000.0) is None
    assert Sessions("one root key").read(text, 1_000.0) == opened
    assert sessions.open("ab" * 32, 1_000.0)[0] != text  # each has a nonce of its own
    assert Sessions("").read(Sessions("").open("", 1.0)[0], 1.0) is None  # without a root key: of one process only


def test_a_changed_cookie_is_no_session() -> None:
    sessions = Sessions("root key")
    text, _ = sessions.open("ab" * 32, 1_000.0)
    payload, _, mac = text.rpartition(".")
    forged = base64.urlsafe_b64encode(b'["root",1000,"n"]').decode()
    for changed in ("", ".", text[:-1], text + "0", f"{forged}.{mac}", f"{payload}.", payload, "é" + text, "A" * 9_000):
        assert sessions.read(changed, 1_000.0) is None, changed
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        assert sessions.read(text[:place] + other + text[place + 1 :], 1_000.0) is None, place


@pytest.mark.parametrize(
    ("environment", "name", "secure"),
    [("development", "convergence=", False), ("staging", "__Host-convergence=", True)],
)
def test_the_cookie_is_out_of_scripts_reach_and_tied_to_https_where_tenants_are(
    run_scenario: RunScenario, environment: str, name: str, secure: bool
) -> None:
    async def scenario(api: Api) -> None:
        answer = await Browser.of(api).client.post(FORM, data={"key": api.keys["acme"]})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(name)
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert f"Max-Age={LIFETIME_S}" in cookie
        assert ("Secure" in cookie) == secure
        assert api.keys["acme"] not in cookie

    run_scenario(scenario, ENVIRONMENT=environment)


def test_a_session_ends_with_its_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        await browser.get("/ui/acme/pipelines")
        (key,) = await api.at.keys.all("acme")
        await api.at.keys.revoke("acme", key.key_id)
        answer = await browser.client.get("/ui/acme/pipelines")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/ui/sign-in?next=%2Fui%2Facme%2Fpipelines"

    run_scenario(scenario)


def test_an_earlier_cookie_never_becomes_the_session(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        text, _ = Sessions("a key of the attacker's").open("", 1.0)
        browser = Browser.of(api)
        browser.client.cookies.set("convergence", text)
        answer = await browser.client.post(
            FORM, data={"key": api.keys["acme"]}, headers={"cookie": f"convergence={text}"}
        )
        assert answer.headers["set-cookie"].partition(";")[0] != f"convergence={text}"
        assert (
            await browser.client.get("/ui/acme/pipelines", headers={"cookie": f"convergence={text}"})
        ).status_code == 303

    run_scenario(scenario)


def test_a_cookie_opens_no_route_of_the_api_and_a_key_no_page(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        assert (await browser.client.get("/api/v1/pipelines/history/acme")).status_code == 401
        keys = {"X-API-Key": api.keys["acme"], "X-CA-Root-Key": ROOT_KEY}
        assert (await Browser.of(api).client.get("/ui/acme/pipelines", headers=keys)).status_code == 303

    run_scenario(scenario)


def test_a_form_needs_the_token_of_its_session_and_the_own_origin(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        first, second = await Browser.signed_in(api), await Browser.signed_in(api)
        page, action = f"/ui/acme/runs/{run_id}", f"/ui/acme/runs/{run_id}/cancel"
        own, other = csrf(await first.get(page)), csrf(await second.get(page))
        assert own != other
        for fields in ({}, {"csrf": ""}, {"csrf": other}, {"csrf": own[:-1]}):
            assert (await first.client.post(action, data=fields)).status_code == 403
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
            assert (await first.client.post(action, data={"csrf": own}, headers=headers)).status_code == 403
            key = {"key": api.keys["acme"]}
            assert (await Browser.of(api).client.post(FORM, data=key, headers=headers)).status_code == 403
        good = await first.client.post(action, data={"csrf": own}, headers={"origin": "http://api"})
        assert good.status_code == 303

    run_scenario(scenario)


def test_every_form_action_checks_the_token(run_scenario: RunScenario) -> None:
    """A route that forgets the check answers something other than 403."""

    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api, key=ROOT_KEY)
        walked = 0
        for path in routes("POST"):
            if path != FORM:
                url = path.replace("{path:path}", "shop/cost/daily").replace("{org}", "acme")
                answer = await browser.client.post(url.replace("{run_id}", "run_0"), data={"csrf": "0" * 64})
                assert answer.status_code == 403, path
                assert "another session" in answer.text
                walked += 1
        assert walked >= 6

    run_scenario(scenario)


def test_only_an_offered_link_opens_a_session(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = Browser.of(api)
        for token in ("", "x", "%20"):  # nothing was offered yet
            answer = await browser.client.get(f"/ui/open/{token}")
            assert "set-cookie" not in answer.headers
        token = api.at.sessions.offer()
        assert "set-cookie" not in (await browser.client.get(f"/ui/open/{token}x")).headers
        answer = await browser.client.get(f"/ui/open/{token}?next=https://evil.example")
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")
        await browser.get("/ui/admin")
        other = api.at.sessions.offer()  # the latest link only
        assert other != token
        assert "set-cookie" not in (await Browser.of(api).client.get(f"/ui/open/{token}")).headers

    run_scenario(scenario)


def test_signing_out_forgets_the_cookie(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        await browser.send("/ui/acme/pipelines", "/ui/sign-out", {})
        assert (await browser.client.get("/ui/acme/pipelines")).status_code == 303

    run_scenario(scenario)


def test_guesses_are_limited_by_address(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = Browser.of(api)
        answers = [(await browser.client.post(FORM, data={"key": f"cvk_{n}"})).status_code for n in range(12)]
        assert answers == [401] * 10 + [429] * 2
        right = await browser.client.post(FORM, data={"key": api.keys["acme"]})
        assert right.status_code == 429  # otherwise it would tell a right guess from a wrong one

    run_scenario(scenario, RATE_LIMIT_ENABLED=True)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/ui/acme/runs/run_1?page=2", True),
        ("//evil.example", False),
        ("/ui//evil.example", False),
        ("/ui/\\evil.example", False),
        ("https://evil.example/ui/", False),
        ("/api/v1/me", False),
        ("/ui/a\r\nset-cookie: x=1", False),
        ("", False),
    ],
)
def test_signing_in_leads_only_to_the_own_pages(path: str, kept: bool) -> None:
    assert local(path) == (path if kept else "")


def test_an_expired_session_is_sent_back_to_the_page_it_wanted(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        text, _ = api.at.sessions.open("", (api.at.services.clock.now() - timedelta(hours=9)).timestamp())
        browser = Browser.of(api)
        browser.client.cookies.set("convergence", text)
        answer = await browser.client.get("/ui/acme/pipelines/history?status=failed")
        assert answer.headers["location"] == "/ui/sign-in?next=%2Fui%2Facme%2Fpipelines%2Fhistory%3Fstatus%3Dfailed"

    run_scenario(scenario)


def test_another_theme_shows_the_same_view(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        view = "/ui/acme/pipelines/history?status=failed&pipeline=shop/broken"
        back = re.search(r'name="back" value="([^"]*)"', await browser.get(view))
        assert back is not None
        changed = await browser.send(view, "/ui/theme", {"theme": "dark", "back": unescape(back[1])})
        assert changed.headers["location"] == view
        await browser.get(view)

    run_scenario(scenario)
