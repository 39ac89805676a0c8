"""A browser without a screen: pages of an API in this process, with cookies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
from fastapi.routing import APIRoute

from convergence.entry.ui import site
from tests.unit.entry.api.conftest import ROOT_KEY, Api, RunScenario, run_scenario

__all__ = ["ROOT_KEY", "Api", "Browser", "RunScenario", "run_scenario"]


@dataclass
class Browser:
    """One visitor: keeps cookies, sends forms with their token."""

    api: Api
    client: httpx.AsyncClient

    @classmethod
    def of(cls, api: Api) -> Browser:
        """A visitor who has not signed in."""
        transport = httpx.ASGITransport(api.app, client=("192.0.2.8", 4712))
        return cls(api, httpx.AsyncClient(transport=transport, base_url="http://api"))

    @classmethod
    async def signed_in(cls, api: Api, org: str = "acme", key: str = "") -> Browser:
        """A visitor with a session of the org's first key, or of `key`."""
        browser = cls.of(api)
        answer = await browser.client.post("/ui/sign-in", data={"key": key or api.keys[org]})
        assert answer.status_code == 303, answer.text
        return browser

    async def get(self, path: str, status: int = 200, **request: Any) -> str:
        """Load a page."""
        answer = await self.client.get(path, **request)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        return answer.text

    async def send(self, page: str, action: str, fields: Mapping[str, Any], status: int = 303) -> httpx.Response:
        """Send a form of a page, with the token that the page has."""
        token = csrf(await self.get(page))
        answer = await self.client.post(action, data={"csrf": token, **fields})
        assert answer.status_code == status, (action, answer.status_code, answer.text[:3000])
        return answer


def csrf(page: str) -> str:
    """Return the token of a page's forms."""
    found = re.search(r'name="csrf" value="([^"]*)"', page)
    assert found is not None, page[:500]
    return unescape(found[1])


def routes(method: str) -> list[str]:
    """The path of every route of the dashboard that takes the method."""
    found = [each for area in site.PAGES for each in area.router.routes if isinstance(each, APIRoute)]
    return ["/ui" + each.path for each in found if method in (each.methods or ())]
