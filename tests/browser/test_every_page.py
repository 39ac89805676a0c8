"""Every page: accessible in both themes, within its window, from desks to phones, and with nothing in the console."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.pages import PAGES

TOUR = ("first-run", "pipelines", "run-failed", "dead-letters", "costs", "period")  # pages with a picture
WIDTHS = (1280, 1024, 768, 641, 390, 320)  # of windows: desks, tablets and phones
IMPACTS = ("serious", "critical")


def faults(visitor: Visitor) -> list[str]:
    """What axe finds wrong in earnest."""
    found: list[dict[str, Any]] = Axe().run(visitor.page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}" for each in found if each["impact"] in IMPACTS for node in each["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_in_both_themes_and_fits_its_window(operator: Visitor, name: str) -> None:
    site = operator.site
    path = PAGES[name].format(failed=site.failed, costs=site.costs, hostile=site.hostile)
    operator.page.emulate_media(color_scheme="light")
    operator.goto(path)
    assert faults(operator) == []
    if name in TOUR:
        operator.shot(name)
    operator.page.emulate_media(color_scheme="dark")
    assert faults(operator) == []
    for width in WIDTHS:
        operator.page.set_viewport_size({"width": width, "height": 800})
        wide = operator.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{wide} pixels too wide for a window of {width}"


def test_the_form_to_sign_in_is_accessible(visitor: Visitor) -> None:
    visitor.goto("/ui/sign-in")
    assert faults(visitor) == []
    visitor.page.emulate_media(color_scheme="dark")
    assert faults(visitor) == []


def test_all_of_the_navigation_is_seen_on_a_tablet(operator: Visitor) -> None:
    operator.page.set_viewport_size({"width": 768, "height": 800})
    operator.goto("/ui/demo/pipelines")
    nav = operator.page.get_by_role("navigation", name="Main")
    assert nav.evaluate("it => it.scrollWidth <= it.clientWidth"), "it is cut off"
    assert nav.get_by_role("link", name="Dead letters").inner_text().endswith("open"), "their number is missing"


def test_the_navigation_of_a_phone_begins_where_the_page_is(operator: Visitor) -> None:
    operator.page.set_viewport_size({"width": 390, "height": 800})
    operator.goto("/ui/demo/settings")
    here = operator.page.get_by_role("navigation", name="Main").get_by_role("link", name="Settings")
    expect(here).to_be_in_viewport(ratio=1)
