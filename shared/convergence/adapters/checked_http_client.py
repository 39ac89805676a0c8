"""The HTTP client of steps: nothing of one call is left for the next."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from convergence.adapters.checked_http import CheckedTransport, Resolve, resolve

ANSWER_S: Final = 60.0
CONNECT_S: Final = 10.0


class StepClient(httpx.AsyncClient):
    """An httpx client over checked connections, shared by the steps of all orgs.

    It keeps no cookie, which one org's call would carry into another's, and follows no redirect, since a credential
    must not go with one to another host. A plain call goes to the transport directly: httpx's rounds for signing
    in, redirects and cookies would take longer than the call itself.
    """

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._checked = CheckedTransport(resolve)
        super().__init__(
            transport=self._checked,
            follow_redirects=False,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        """Send a request; see httpx. `options` (auth, follow_redirects) and a URL with a user go httpx's way."""
        if self.is_closed or request.url.userinfo or any(one is not _UNSAID for one in options.values()):
            return await super().send(request, stream=stream, **options)
        response = await self._checked.handle_async_request(request)
        response.request = request
        for seen in self.event_hooks["response"]:
            await seen(response)
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


_UNSAID: Final = httpx.USE_CLIENT_DEFAULT
