"""What people come for, once each, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, Visitor
from tests.browser.demo_site import FIXED, PERIOD, Site
from tests.unit.entry.api.receivers import receiver

expect.set_options(timeout=PATIENCE_MS)


def test_from_the_mail_to_a_green_replay_in_six_clicks(visitor: Visitor) -> None:
    visitor.clicks = 1  # on the link in the mail
    visitor.goto(visitor.site.mailed)
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


def test_a_page_without_a_stream_is_loaded_again(operator: Visitor) -> None:
    page = operator.page
    page.route("**/runs/*/events", lambda route: route.fulfill(status=503))  # too many are open
    operator.goto("/ui/demo/run/shop/daily")
    operator.click("Run it now")
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")
    expect(page.locator("[data-events]")).to_have_count(0)
    assert all("503" in message for message in operator.said), operator.said
    operator.said.clear()  # the browser reports the refusals itself


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


def test_the_history_is_filtered_by_its_address_and_runs_are_replayed_after_a_count(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines/history")
    page = operator.page
    page.get_by_label("Status").select_option("failed")
    operator.click("Filter")
    expect(page).to_have_url(re.compile("status=failed"))
    page.get_by_label(re.compile("Choose run_")).last.check()
    operator.click("Replay chosen…")
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 run?")
    operator.click("Replay 1 run")
    expect(page.get_by_role("main")).to_contain_text("started again")


def test_a_payload_is_edited_compared_and_replayed(operator: Visitor) -> None:
    operator.goto("/ui/demo/dead-letters")
    page = operator.page
    operator.click("Edit the payload of cause 1…", "link")
    editor = page.get_by_label(re.compile("Parameters of the latest dead letter"))
    editor.fill(editor.input_value().replace("openai/seed/missing.csv", FIXED))
    operator.click("Check again")
    changed = page.get_by_label("Change of the payload")
    expect(changed.locator("del")).to_contain_text("missing.csv")
    expect(changed.locator("ins")).to_contain_text(FIXED)
    operator.shot("payload")
    operator.click("Replay 1 first")
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")


def test_a_dead_letter_is_discarded_with_its_reason(operator: Visitor) -> None:
    operator.goto("/ui/demo/dead-letters/cause?code=step.failed&pipeline=shop/plans&step=load_plans")
    page = operator.page
    page.get_by_role("link", name=re.compile("load_plans")).last.click()
    page.get_by_label("Why nothing needs to be done").fill("the plans came another way")
    operator.click("Discard it")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")


def test_times_in_utc_are_read_without_hovering(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines/schedules")
    page = operator.page
    expect(page.get_by_role("columnheader", name="Next, UTC")).to_be_visible()
    expect(page.locator("td[data-label='Next, UTC']").first).to_have_text(re.compile(r"\d\d:\d\d UTC"))
    expect(page.get_by_text("Times are UTC unless a zone is named.")).to_be_visible()
    operator.goto("/ui/demo/pipelines")
    expect(page.get_by_role("table").first).to_contain_text(re.compile(r"\d\d:\d\d UTC"))


def test_quality_shows_how_fresh_the_data_is(operator: Visitor) -> None:
    operator.goto("/ui/demo/quality")
    page = operator.page
    expect(page.get_by_role("table", name="Freshness by provider")).to_contain_text("OpenAI")
    expect(page.get_by_role("main")).to_contain_text("2026-10")


def test_from_a_bar_to_the_raw_rows_behind_a_charge(operator: Visitor) -> None:
    operator.goto("/ui/demo/costs?from=2026-10-10&to=2026-10-12")
    page = operator.page
    expect(page.get_by_role("heading", name="Forecast of October 2026")).to_be_visible()
    page.get_by_label("Group by").select_option("model")
    operator.click("Apply")
    expect(page).to_have_url(re.compile("by=model"))
    with page.expect_download() as file:
        operator.click("CSV", "link")
    assert file.value.path().read_text().startswith("day,provider,service,model,team,currency,cost,charges,untagged")
    page.get_by_role("table", name=re.compile("Cost by model")).get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Charges")
    page.get_by_role("link", name="raw rows").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Raw rows")
    expect(page.get_by_label("Row 1", exact=True)).to_contain_text("row_id")


def test_a_billing_period_is_closed_and_opened_again(operator: Visitor) -> None:
    operator.goto(f"/ui/demo/quality/period?{PERIOD}")
    page = operator.page
    expect(page.get_by_label("Verdict")).to_contain_text("Open")
    operator.click("Close the period")
    expect(page.get_by_label("Verdict")).to_contain_text("Closed. A run that would change")
    page.get_by_label("Reason").fill("the provider restated its bill")
    operator.click("Open the period again")
    expect(page.get_by_label("Verdict")).to_contain_text("Open. Runs may change")
    expect(page.get_by_role("main")).to_contain_text("the provider restated its bill")


def test_a_schedule_is_edited_and_triggered(operator: Visitor) -> None:
    operator.goto("/ui/demo/pipelines/schedules")
    page = operator.page
    page.get_by_label("Edit the schedule of shop/daily").click()
    page.get_by_label("Cron, five fields").fill("45 3 * * *")
    operator.click("Store")
    expect(page.get_by_role("main")).to_contain_text("45 3 * * *")
    page.get_by_label("Trigger shop/daily").click()
    expect(page.get_by_label("Verdict")).to_contain_text("Completed")


def test_keys_webhooks_and_notifications_are_made_on_the_settings(operator: Visitor) -> None:
    operator.goto("/ui/demo/settings")
    page = operator.page
    page.get_by_label("Mail addresses, separated by commas").fill("ops@acme.example")
    page.get_by_label("email", exact=True).check()
    operator.click("Store")
    expect(page.get_by_role("table", name="What is sent when a run ends")).to_contain_text("ops@acme.example")
    page.get_by_label("Name").fill("dashboard")
    operator.click("Make a key")
    expect(page.get_by_label("The new key")).to_contain_text("cvk_")
    operator.goto("/ui/demo/settings/webhooks")
    page.get_by_label("Address, https").fill("https://hooks.example.com/convergence")
    operator.click("Add it and show its secret")
    expect(page.get_by_label("The new secret")).to_contain_text("whsec_")
    operator.click("Back to the webhooks", "link")
    page.get_by_label(re.compile("Switch off whk_")).click()
    expect(page.get_by_label(re.compile("Switch on whk_"))).to_be_visible()


def test_a_webhook_is_tested_and_its_delivery_shown(operator: Visitor) -> None:
    with receiver() as (address, came):
        operator.goto("/ui/demo/settings/webhooks")
        page = operator.page
        page.get_by_label("Address, https").fill(address)
        page.get_by_label("Description").fill("a receiver on this machine")
        operator.click("Add it and show its secret")
        operator.click("Back to the webhooks", "link")
        row = page.get_by_role("row").filter(has_text="a receiver on this machine")
        row.get_by_role("button", name=re.compile("Test")).click()
        expect(page.get_by_label("Verdict")).to_contain_text("The receiver answered 204.")
        expect(page.get_by_role("heading", level=1)).to_have_text("webhook.test")
        assert came.get(timeout=30).headers["Convergence-Delivery"] in page.url
        operator.click("Deliveries", "link")
        expect(page.get_by_role("table", name="Deliveries of demo")).to_contain_text("Delivered")


def test_the_operator_sees_all_orgs(operator: Visitor) -> None:
    operator.goto("/ui/admin")
    page = operator.page
    expect(page.get_by_role("link", name="initech")).to_be_visible()
    page.get_by_role("link", name=re.compile("open$")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters of all orgs")
    expect(page.get_by_role("table").first).to_contain_text("shop/plans")
    operator.goto("/ui/admin")
    operator.click("every part", "link")
    expect(page.get_by_label("Verdict")).to_contain_text("checks")


def test_an_org_without_data_enters_its_first_key(operator: Visitor) -> None:
    operator.goto("/ui/initech/pipelines")
    page = operator.page
    expect(page.get_by_role("heading", name="Three steps to your first costs")).to_be_visible()
    page.get_by_label("Key", exact=True).fill("sk-admin-made-up")
    operator.click("Store and check")
    expect(page.get_by_role("main")).to_contain_text("store_credential")
    expect(page.get_by_role("main")).not_to_contain_text("sk-admin-made-up")
    expect(page.locator("#steps")).to_contain_text("Completed")  # the step that stores the key
    operator.goto("/ui/initech/pipelines")
    expect(page.locator("li[aria-current=step]")).to_contain_text("Run a pipeline for yesterday")


def test_a_page_is_not_framed_by_another(operator: Visitor) -> None:
    page = operator.context.new_page()  # its console says that the frame was refused
    page.goto("about:blank")
    page.set_content(f'<iframe src="{operator.site.url}/ui/demo/settings"></iframe>')
    frame = page.frames[-1]
    frame.wait_for_load_state()
    assert "Settings" not in frame.content()


def test_all_of_a_cause_are_replayed_one_first_after_a_count(operator: Visitor) -> None:
    operator.goto("/ui/demo/dead-letters")
    page = operator.page
    page.get_by_role("button", name=re.compile(r"Replay all \d+ of cause 1")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Replay \d+ runs?\?"))
    expect(page.get_by_role("main")).to_contain_text("One run is replayed first; the others follow")
    page.get_by_role("button", name=re.compile(r"^Replay \d+$")).click()
    replays = page.get_by_role("table", name="Replays of many dead letters, latest first")
    expect(replays).to_contain_text("shop/plans")
