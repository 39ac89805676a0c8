"""What people change on the pages: runs that wait, backfills, credentials, keys; and what they may not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import PATIENCE_MS, Visitor
from tests.e2e.serving import OPERATOR

expect.set_options(timeout=PATIENCE_MS)
AWAY = "shop/away"  # its service does not answer, so its runs rest between two attempts


@pytest.fixture
def api(visitor: Visitor) -> Iterator[httpx.Client]:
    """The API of the site, with the operator's key."""
    with httpx.Client(base_url=f"{visitor.site.url}/api/v1", headers=OPERATOR, timeout=60) as client:
        yield client


def test_a_run_that_waits_says_for_what_and_is_cancelled(operator: Visitor, api: httpx.Client) -> None:
    run_id = _ask(api, "POST", f"/pipelines/run/demo/{AWAY}")["run_id"]
    operator.goto(f"/ui/demo/runs/{run_id}")
    page = operator.page
    expect(page.get_by_label("Verdict")).to_contain_text("extract_items: attempt 2 of 5")
    operator.click("Cancel the run")
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Cancel the run")).to_have_count(0)


def test_a_stream_that_ends_is_opened_again(operator: Visitor, api: httpx.Client) -> None:
    page, asked = operator.page, list[str]()

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:  # as after 15 minutes
            route.fulfill(status=200, content_type="text/event-stream", body="retry: 50\n\n")
        else:
            route.continue_()

    page.route("**/runs/*/events", answer)
    run_id = _ask(api, "POST", f"/pipelines/run/demo/{AWAY}")["run_id"]
    operator.goto(f"/ui/demo/runs/{run_id}")
    expect(page.get_by_label("Verdict")).to_contain_text("attempt 2 of 5")
    _ask(api, "POST", f"/pipelines/cancel/demo/{run_id}")
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")
    assert len(asked) > 1


def test_runs_are_cancelled_together_after_a_count(operator: Visitor, api: httpx.Client) -> None:
    runs = [_ask(api, "POST", f"/pipelines/run/demo/{AWAY}")["run_id"] for _ in range(2)]
    operator.goto(f"/ui/demo/pipelines/history?pipeline={AWAY}&status=running")
    page = operator.page
    for run_id in runs:
        page.get_by_label(f"Choose {run_id}").check()
    operator.click("Cancel chosen…")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 2 runs?")
    operator.click("Cancel 2 runs")
    expect(page.get_by_role("table", name="Chosen runs")).to_contain_text("Cancelled")
    assert {_ask(api, "GET", f"/pipelines/status/demo/{run_id}")["status"] for run_id in runs} == {"cancelled"}


def test_a_backfill_is_paused_resumed_and_cancelled(operator: Visitor, api: httpx.Client) -> None:
    days = {"from": "2026-10-01", "to": "2026-10-05"}
    backfill_id = _ask(api, "POST", f"/pipelines/backfill/demo/{AWAY}", json=days)["backfill_id"]
    operator.goto("/ui/demo/pipelines/schedules")
    row = operator.page.locator(f"#{backfill_id}")
    expect(row).to_contain_text("4 open, 1 running")
    for name, state in (("Pause", "Paused"), ("Resume", "Running"), ("Cancel", "Cancelled")):
        operator.click(f"{name} {backfill_id}")
        expect(row).to_contain_text(state)
    expect(row.get_by_role("button")).to_have_count(0)


def test_a_stopped_backfill_is_resumed(operator: Visitor, api: httpx.Client) -> None:
    days = {"from": "2026-10-01", "to": "2026-10-03", "failures_max": 1}
    backfill_id = _ask(api, "POST", "/pipelines/backfill/demo/shop/plans", json=days)["backfill_id"]
    operator.goto("/ui/demo/pipelines/schedules")
    row = operator.page.locator(f"#{backfill_id}")
    for _ in range(200):  # the page of schedules is not live
        if "Stopped" in row.inner_text():
            break
        operator.page.reload()
    expect(row).to_contain_text("1 of its runs failed (failures_max 1)")
    operator.click(f"Resume {backfill_id}")
    expect(row).to_be_visible()


def test_a_credential_is_stored_rotated_and_removed(operator: Visitor, api: httpx.Client) -> None:
    _ask(api, "POST", "/organizations/onboard", json={"slug": "hooli", "name": "Hooli"})
    operator.goto("/ui/hooli/settings")
    page = operator.page
    integrations = page.get_by_role("table", name="Providers and their credentials")
    slack = integrations.get_by_role("row").filter(has=page.get_by_role("rowheader", name="slack", exact=True))
    expect(slack).to_contain_text("not connected")
    for name, secret in (("Connect slack…", "hush1hush"), ("Rotate or add a key of slack…", "hush2hush")):
        operator.goto("/ui/hooli/settings")
        operator.click(name, "link")
        page.locator("input[type=password]").first.fill(f"https://hooks.slack.com/services/T0/B0/{secret}")
        operator.click("Run it now")
        expect(page.get_by_label("Verdict")).to_contain_text("Completed")
        assert secret not in page.content()
    operator.goto("/ui/hooli/settings")
    expect(slack.locator(".mono")).to_have_count(1)
    slack.get_by_role("button", name=re.compile("^Remove ")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Remove")
    operator.click("Remove it")
    expect(slack).to_contain_text("not connected")


def test_a_key_is_revoked_and_its_session_ends(operator: Visitor, api: httpx.Client) -> None:
    made = _ask(api, "POST", "/organizations/demo/keys", json={"name": "lost laptop"})
    reader = httpx.Client(base_url=operator.site.url, follow_redirects=False)
    with reader:
        reader.post("/ui/sign-in", data={"key": made["api_key"]})
        assert reader.get("/ui/demo/pipelines").status_code == 200
        operator.goto("/ui/demo/settings")
        row = operator.page.get_by_role("row").filter(has_text="lost laptop")
        row.get_by_role("button", name=re.compile("^Revoke ")).click()
        operator.click("Remove it")
        expect(row).to_contain_text("ended")
        assert reader.get("/ui/demo/pipelines").status_code != 200


@pytest.mark.parametrize(
    ("key", "heading"),
    [("p", "Pipelines"), ("s", "Schedules"), ("d", "Dead letters"), ("c", "Costs"), ("q", "Quality")],
)
def test_g_and_a_letter_go_to_a_page(operator: Visitor, key: str, heading: str) -> None:
    operator.goto("/ui/demo/pipelines/history")
    operator.page.keyboard.press("g")
    operator.page.keyboard.press(key)
    expect(operator.page.get_by_role("heading", level=1)).to_have_text(heading)


def test_the_operator_sees_who_waits_and_for_what(operator: Visitor, api: httpx.Client) -> None:
    _ask(api, "POST", "/organizations/onboard", json={"slug": "pied_piper", "name": "Pied Piper"})
    _ask(api, "PATCH", "/organizations/pied_piper", json={"limits": {"daily": 9, "monthly": 9, "concurrent": 1}})
    for _ in range(3):
        _ask(api, "POST", f"/pipelines/run/pied_piper/{AWAY}", params={"queue": "true"})
    operator.goto("/ui/admin")
    row = operator.page.get_by_role("table", name="Orgs with waiting runs").get_by_role("row", name="pied_piper")
    expect(row).to_contain_text("2")
    expect(row).to_contain_text("Concurrent pipeline limit (1) reached")
    row.get_by_role("link").click()
    expect(operator.page).to_have_url(re.compile("/ui/pied_piper/pipelines/history.status=queued"))


def test_a_key_of_one_org_opens_no_other_page(visitor: Visitor) -> None:
    visitor.goto("/ui/")
    visitor.sign_in()
    for path in ("/ui/admin", "/ui/_all/dead-letters", "/ui/initech/pipelines", "/ui/no-such-org/pipelines"):
        answer = visitor.page.goto(visitor.site.url + path)
        assert answer is not None
        assert answer.status == 403, path
        expect(visitor.page.get_by_role("link", name="Back to the start")).to_be_visible()
    assert all("403" in message for message in visitor.said), visitor.said
    visitor.said.clear()  # the browser reports the refusals themselves


def test_a_key_that_only_reads_sees_nothing_to_press(visitor: Visitor, api: httpx.Client) -> None:
    key = _ask(api, "POST", "/organizations/demo/keys", json={"name": "bi", "scopes": ["read"]})["api_key"]
    visitor.goto("/ui/")
    visitor.sign_in(key)
    for path in ("pipelines", "pipelines/history", "pipelines/schedules", "dead-letters", "quality", "settings"):
        visitor.goto(f"/ui/demo/{path}")
        posts = visitor.page.locator("main form[method=post] button").count()
        assert posts == 0, f"{path} offers a reader something to change"


def _ask(api: httpx.Client, method: str, path: str, **request: Any) -> Any:
    answer = api.request(method, path, **request)
    assert answer.is_success, answer.text
    return answer.json()
