"""A real server with real runs, and headless Chromium. Without Chromium these tests are skipped, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

from tests.browser.demo_site import Site, site_in
from tests.e2e.conftest import ROOT as REPOSITORY

REQUIRED = "CONVERGENCE_REQUIRE_BROWSER"
PATIENCE_MS = 60_000
SCREENSHOTS = REPOSITORY / ("docs/tour" if os.environ.get("CONVERGENCE_TOUR") else "build/screenshots")
WINDOW: ViewportSize = {"width": 1040, "height": 640}  # of a picture
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("policy: " + event.violatedDirective + " " + event.blockedURI));
"""


def chromium() -> str:
    """The browser's path; skips where there is none, fails where one is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "no chromium on this machine (Debian: apt-get install chromium); .ci/run installs it"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="package")  # ends before other tests: its loop would be in the way of theirs
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    """The demo's org with its costs, and pipelines that fail, behind `convergence serve`."""
    with site_in(tmp_path_factory.mktemp("site")) as found:
        yield found


@dataclass
class Visitor:
    """One person at a browser. What its console says is kept; a test ends with nothing in it."""

    site: Site
    context: BrowserContext
    page: Page
    clicks: int = 0
    said: list[str] = field(default_factory=list)

    def goto(self, path: str) -> None:
        """Open an address."""
        answer = self.page.goto(self.site.url + path)
        assert answer is not None
        assert answer.ok, (path, answer.status)

    def click(self, name: str, role: Any = "button") -> None:
        """Click what has this name, and count it."""
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=True).first.click()

    def sign_in(self, key: str = "") -> None:
        """Fill in the key and press the button."""
        self.page.get_by_label("Key").fill(key or self.site.key)
        self.click("Sign in")

    def shot(self, name: str) -> None:
        """Keep a picture of what a window shows first."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        self.page.set_viewport_size(WINDOW)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
        if before is not None:
            self.page.set_viewport_size(before)


@pytest.fixture
def visitor(site: Site, browser: Browser) -> Iterator[Visitor]:
    """A visitor who has not signed in; at the end the console must be empty."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_WATCH)
    page = context.new_page()
    found = Visitor(site, context, page)

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.said.append(f"{message.type}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: found.said.append(f"dialog: {dialog.message}"))
    yield found
    context.close()
    assert found.said == []


@pytest.fixture
def operator(visitor: Visitor) -> Visitor:
    """A visitor who has signed in with the operator's key."""
    cookie = httpx.post(f"{visitor.site.url}/ui/sign-in", data={"key": visitor.site.root_key}).headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    value = rest.partition(";")[0].strip('"')
    visitor.context.add_cookies([{"name": name, "value": value, "url": visitor.site.url}])
    return visitor
