"""What people come for, once each, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, Visitor
from tests.browser.demo_site import FIXED, Site

expect.set_options(timeout=PATIENCE_MS)


def test_from_the_mail_to_a_green_replay_in_six_clicks(visitor: Visitor) -> None:
    visitor.clicks = 1  # on the link in the mail
    visitor.goto(f"/ui/demo/runs/{visitor.site.failed}")
    visitor.sign_in()
    page = visitor.page
    expect(page.get_by_label("Verdict")).to_contain_text("load_plans failed")
    visitor.click("Edit and replay…", "link")
    page.get_by_label("file", exact=True).fill(FIXED)
    visitor.click("Check again")
    expect(page.get_by_label("Changed parameters")).to_contain_text(FIXED)
    visitor.shot("replay")
    visitor.click("Replay 2 steps")
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")  # live: nothing is reloaded by hand
    assert visitor.clicks <= 6


def test_a_run_is_started_by_its_form_and_shown_until_it_ends(visitor: Visitor) -> None:
    visitor.goto("/ui/")
    visitor.sign_in()
    page = visitor.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Pipelines")
    page.get_by_label("Run shop/daily…").click()
    expect(page.get_by_text("steps for 20")).to_be_visible()
    page.get_by_label("note", exact=True).fill("by hand")
    visitor.shot("run-form")
    visitor.click("Run it now")
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")
    expect(page.get_by_role("main")).to_contain_text("by hand")


def test_keys_search_move_and_go(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines")
    page = operator.page
    page.keyboard.press("/")
    expect(page.get_by_label("Search /")).to_be_focused()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("j")
    second = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.textContent") == first != second
    page.keyboard.press("g")
    page.keyboard.press("h")
    expect(page.get_by_role("heading", level=1)).to_have_text("History")


def test_everything_is_readable_without_scripts(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/ui/demo/runs/{site.costs}")
    page.get_by_label("Key").fill(site.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")
    page.get_by_role("link", name="Costs").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Costs")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


def test_a_schedule_is_paused_and_resumed(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines/schedules")
    page = operator.page
    page.get_by_label("Pause shop/daily").click()
    expect(page.get_by_label("Resume shop/daily")).to_be_visible()
    page.get_by_label("Resume shop/daily").click()
    expect(page.get_by_label("Pause shop/daily")).to_be_visible()


def test_the_theme_is_remembered(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines")
    operator.click("Dark")
    expect(operator.page.locator("html")).to_have_attribute("data-theme", "dark")
    operator.goto("/ui/demo/costs")
    expect(operator.page.locator("html")).to_have_attribute("data-theme", "dark")
    operator.click("System")
    expect(operator.page.locator("html")).not_to_have_attribute("data-theme", "dark")
