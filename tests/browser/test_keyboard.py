"""The journeys with the keyboard alone: what is reached in which order, where the focus is seen, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Visitor
from tests.browser.demo_site import FIXED, PERIOD
from tests.browser.pages import PAGES
from tests.e2e.serving import OPERATOR

expect.set_options(timeout=PATIENCE_MS)
_STOPS_MAX = 400
# The name of what has the focus, and what is wrong with how it is seen; empty outside the page.
_FOCUSED = """() => {
  const it = document.activeElement;
  if (!it || it === document.body) return ["", ""];
  const box = it.getBoundingClientRect(), look = getComputedStyle(it);
  const top = document.elementFromPoint(box.x + Math.min(box.width / 2, 8), box.y + box.height / 2);
  const parts = it.type === "date";  // its last part is a button of the browser's own, with its own ring
  const wrong = box.width < 2 || box.height < 2 ? "too small"
    : box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth ? "outside the window"
    : top && !it.contains(top) && !top.contains(it) ? "covered"
    : look.outlineStyle === "none" && !parts ? "without a ring" : "";
  const label = it.getAttribute("aria-label") || it.labels?.[0]?.textContent || it.textContent;
  return [it.tagName + " " + label.trim().replace(/\\s+/g, " "), wrong];
}"""


def focused(page: Page) -> str:
    """Return the name of what has the focus, after its tag."""
    return str(page.evaluate(_FOCUSED)[0])


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab until what has this name has the focus. It must be seen at every stop on the way."""
    for _ in range(_STOPS_MAX):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        found, wrong = page.evaluate(_FOCUSED)
        assert not wrong, f"{found} is {wrong}"
        if re.search(name, found):
            return
    raise AssertionError(f"{name!r} is not reached")


@pytest.mark.parametrize("width", [1280, 390])
def test_tab_goes_through_each_page_and_out_again(operator: Visitor, width: int) -> None:
    page, site = operator.page, operator.site
    page.set_viewport_size({"width": width, "height": 800})
    for path in PAGES.values():
        operator.goto(path.format(failed=site.failed, costs=site.costs, hostile=site.hostile))
        page.keyboard.press("Tab")
        assert focused(page) == "A Skip to content"
        tab_to(page, "BUTTON Sign out")
        page.keyboard.press("Tab")
        assert focused(page) in ("", "A Skip to content"), path


def test_the_skip_link_leads_past_the_navigation(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines/history")
    page = operator.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert focused(page).startswith("INPUT Pipeline")


def test_enter_in_a_field_checks_and_the_focus_goes_to_what_is_wrong(visitor: Visitor) -> None:
    page, site = visitor.page, visitor.site
    with httpx.Client(base_url=f"{site.url}/api/v1", headers=OPERATOR, timeout=60) as api:
        failed = api.post("/pipelines/run/demo/shop/plans", params={"wait": 60}).json()["run_id"]
    visitor.goto("/ui/")
    expect(page.get_by_label("Key")).to_be_focused()
    page.keyboard.type(site.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pipelines")
    visitor.goto(f"/ui/demo/runs/{failed}/replay")
    tab_to(page, "INPUT start_date")
    page.keyboard.type("12312026")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    assert all("422" in message for message in visitor.said), visitor.said
    visitor.said.clear()  # the browser reports the refusal itself
    visitor.goto(f"/ui/demo/runs/{failed}/replay")
    tab_to(page, "INPUT file")
    page.keyboard.press("Control+a")
    page.keyboard.type(FIXED)
    page.keyboard.press("Enter")
    changed = page.get_by_label("Changed parameters")
    expect(changed).to_contain_text(FIXED)  # it was checked, not replayed
    expect(changed).to_be_focused()
    tab_to(page, "BUTTON Replay 2 steps")


def test_a_run_is_started_and_cancelled_and_keeps_the_focus_while_it_moves(operator: Visitor) -> None:
    page = operator.page
    operator.goto("/ui/demo/pipelines")
    page.keyboard.press("/")
    page.keyboard.type("away")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=away"))
    tab_to(page, "A Run shop/away")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Run A service that does not answer")
    tab_to(page, "BUTTON Check the plan again")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Plan", exact=True)).to_be_focused()
    tab_to(page, "BUTTON Run it now")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Verdict")).to_contain_text("extract_items: attempt 2 of 5")
    tab_to(page, "BUTTON Cancel the run")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")


@pytest.fixture
def moving(operator: Visitor) -> Iterator[tuple[Page, httpx.Client, str]]:
    """The page of a run that rests between two attempts, the API, and the run's path there."""
    with httpx.Client(base_url=f"{operator.site.url}/api/v1", headers=OPERATOR, timeout=60) as api:
        run_id = api.post("/pipelines/run/demo/shop/away").json()["run_id"]
        operator.goto(f"/ui/demo/runs/{run_id}")
        expect(operator.page.get_by_label("Verdict")).to_contain_text("extract_items: attempt 2 of 5")
        yield operator.page, api, f"/pipelines/cancel/demo/{run_id}"


def test_the_focus_stays_when_the_page_of_a_run_moves(moving: tuple[Page, httpx.Client, str]) -> None:
    page, api, cancel = moving
    tab_to(page, "SUMMARY The run as the API returns it")
    api.post(cancel).raise_for_status()
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")
    assert focused(page) == "SUMMARY The run as the API returns it"
    expect(page.get_by_role("status")).to_contain_text("Cancelled: shop/away")


def test_the_focus_goes_to_the_content_when_what_had_it_is_gone(moving: tuple[Page, httpx.Client, str]) -> None:
    page, api, cancel = moving
    tab_to(page, "BUTTON Cancel the run")
    api.post(cancel).raise_for_status()
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")
    expect(page.locator("main")).to_be_focused()


def test_a_field_with_the_focus_is_left_alone_until_it_is_left(moving: tuple[Page, httpx.Client, str]) -> None:
    page, api, cancel = moving
    page.keyboard.press("/")
    page.keyboard.type("attem")
    api.post(cancel).raise_for_status()
    page.evaluate("new Promise(done => { const look = () => postponed ? done() : setTimeout(look, 20); look(); })")
    page.keyboard.type("pt")
    expect(page.get_by_label(re.compile("Search in logs"))).to_have_value("attempt")
    tab_to(page, "BUTTON Search")
    expect(page.get_by_label("Verdict")).to_contain_text("Cancelled")


def test_a_schedule_is_paused_and_the_next_stop_is_its_row(operator: Visitor) -> None:
    page = operator.page
    operator.goto("/ui/demo/pipelines/schedules")
    tab_to(page, "BUTTON Pause shop/daily")
    page.keyboard.press("Space")
    expect(page.get_by_label("Resume shop/daily")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page).startswith("A shop/")
    tab_to(page, "BUTTON Resume shop/daily")
    page.keyboard.press("Space")
    expect(page.get_by_label("Pause shop/daily")).to_be_visible()


def test_runs_are_chosen_with_the_space_key_and_the_choice_is_counted_first(operator: Visitor) -> None:
    page = operator.page
    operator.goto("/ui/demo/pipelines/history?status=failed")
    tab_to(page, "INPUT Choose run_")
    page.keyboard.press("Space")
    tab_to(page, "BUTTON Replay chosen")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 run?")
    tab_to(page, "A (Back|Keep)")


def test_a_period_is_closed_and_opened_again(operator: Visitor) -> None:
    page = operator.page
    operator.goto(f"/ui/demo/quality/period?{PERIOD}")
    tab_to(page, "BUTTON Close the period")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Verdict")).to_contain_text("Closed. A run that would change")
    tab_to(page, "BUTTON Open the period again")
    tab_to(page, "INPUT Reason", back=True)
    page.keyboard.type("restated")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Verdict")).to_contain_text("Open. Runs may change")


def test_a_payload_that_is_wrong_has_the_focus_on_what_is_wrong(operator: Visitor) -> None:
    page = operator.page
    operator.goto("/ui/demo/pipelines")
    for key in "gd":
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")
    tab_to(page, "A Edit the payload of cause 1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Edit payload")
    tab_to(page, "TEXTAREA Parameters")
    page.keyboard.press("Control+a")
    page.keyboard.type("{no json")
    tab_to(page, "BUTTON Check again")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_be_focused()
    expect(alert).to_contain_text("not JSON")
    expect(page.get_by_role("main")).to_contain_text("The difference is shown when the payload is right.")
    assert all("422" in message for message in operator.said), operator.said
    operator.said.clear()  # the browser reports the refusal itself


def test_a_key_is_made_and_revoked(operator: Visitor) -> None:
    page = operator.page
    operator.goto("/ui/demo/settings")
    tab_to(page, "INPUT Name")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_label("The new key")).to_contain_text("cvk_")
    operator.goto("/ui/demo/settings")
    key = page.get_by_role("row").filter(has_text="by keyboard").locator("th").inner_text().split()[0]
    tab_to(page, f"BUTTON Revoke {key}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(key)
    tab_to(page, "BUTTON Remove it")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("settings#h-keys"))
    page.keyboard.press("Tab")
    assert focused(page).startswith(("BUTTON Revoke", "INPUT Name")), "Tab goes on from the keys"
