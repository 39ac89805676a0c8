"""The HTTP client that all steps of a process share: no state is carried from one call to the next."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from convergence.adapters.http.connector import Resolve, resolve
from convergence.adapters.http.transport import CheckedTransport
from convergence.domain.addresses import DEFAULT_REACH, Reach

ANSWER_S: Final = 60.0
CONNECT_S: Final = 10.0


class StepClient(httpx.AsyncClient):
    """An httpx client over checked connections; see `CheckedTransport`.

    It keeps no cookie, which one org's call would carry into another's, and follows no redirect, since a credential
    must not go with one to another host. A plain call goes to the transport directly: httpx's rounds for signing
    in, redirects and cookies take a tenth of the call.
    """

    def __init__(self, resolve: Resolve = resolve, *, reach: Reach = DEFAULT_REACH) -> None:
        self._checked = CheckedTransport(resolve, reach=reach)
        super().__init__(
            transport=self._checked,
            follow_redirects=False,
            trust_env=False,
            headers={"accept-encoding": "gzip"},
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
