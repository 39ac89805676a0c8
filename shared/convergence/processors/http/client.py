"""JSON over HTTP for processors: pages, waits, refusals.

A call is repeated in place a few times when the other side is busy or the connection breaks; after that the engine
decides. An error that repetition cannot fix ends the step at once, with a message that says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx

from convergence.domain.addresses import DEFAULT_REACH, Reach
from convergence.errors import StepFailed, Throttled, Transient
from convergence.ports.http.answers import parsed, read_body, refused
from convergence.ports.http.reach import unreachable
from convergence.ports.http.urls import checked_url
from convergence.ports.processor import Context
from convergence.processors.http.limiter import limiter
from convergence.processors.http.paging import Answer, Call, Following, LoopGuard, Paging, Params
from convergence.processors.http.retry_budget import RetryBudget

SignIn = Callable[[], Awaitable[Mapping[str, str]]]


class RestClient:
    """One API of one step. `retries` counts repeated calls, `calls` all of them."""

    def __init__(
        self,
        context: Context,
        base_url: str,
        *,
        headers: Mapping[str, str],
        service: str,
        renew: str = "",
        retry_budget: RetryBudget | None = None,
        bytes_max: int = 64 * 1024 * 1024,
        requests_per_second: float | None = None,
        credential: str = "",
        reach: Reach = DEFAULT_REACH,
        hosts: Iterable[str] = (),
        params: Mapping[str, str] | None = None,
        data_path: str = "",
        sign_in: SignIn | None = None,
    ) -> None:
        """`service` names the API in messages; `renew` says how to replace its credential.

        `params` are sent with every call: a credential in the query. Calls of all steps with the same org, `credential`
        and host share `requests_per_second`. A page may lead to the base URL's own host and to `hosts`, nowhere else.
        Whatever is at `data_path` of an answer is data, whatever its name. `sign_in` returns headers with a new token;
        it is called once for a call that is answered 401, because tokens expire while a step works.
        """
        self.context = context
        url = checked_url(base_url, service)
        self.base_url = base_url.rstrip("/")
        self._own = (url.scheme, url.host, url.port)
        self._hosts = frozenset(hosts)
        self._reach = reach
        self._requests_per_second = requests_per_second
        self._credential = credential
        self._headers = httpx.Headers(context.http.headers)
        self._headers.update({"accept": "application/json", **headers})
        self._params = dict(params or {})
        # The last request: pages differ only in a parameter.
        self._checked: dict[str, tuple[httpx.URL, httpx.Headers]] = {}
        self._encoded: dict[tuple[str, str], str] = {}
        self._service = service
        self._renew = renew
        self._retry_budget = retry_budget or RetryBudget()
        self._limits = httpx.Timeout(self._retry_budget.answer_s).as_dict()
        self._bytes_max = bytes_max
        self._data_path = data_path
        self._sign_in = sign_in
        self.calls = 0
        self.retries = 0
        self.answered = httpx.Headers()  # of the latest successful answer: providers name the account there

    async def get(self, path: str, params: Params = (), *, exact: bool = False) -> Any:
        """Return the parsed answer, None for one without content; with `exact`, numbers with a point are Decimal.

        Raises:
            CredentialRejected: 401, or 403 that is not a rate limit.
            StepFailed: another 4xx, a redirect, an answer that is not JSON or is larger than `bytes_max`.
            Throttled, Transient: still busy after all attempts.
        """
        return (await self.ask(Call(path, tuple(params)), exact=exact)).data

    async def ask(self, call: Call, *, exact: bool = False) -> Answer:
        """Return the answer to any call; raises what `get` raises."""
        attempt = 0
        while True:
            try:
                return await self._once(call, exact=exact)
            except Transient as problem:
                wait_s = self._wait_s(problem, attempt)
                attempt += 1
                if wait_s is None or attempt >= self._retry_budget.attempts_max:
                    raise
                self.retries += 1
                self.context.logger.info("%s; attempt %d in %.2f s", problem, attempt + 1, wait_s)
                await self.context.sleep(wait_s)

    async def pages(self, path: str, params: Params = (), *, paging: Paging, exact: bool = False) -> AsyncIterator[Any]:
        """Yield pages of GET; see `walk`."""

        def following(answer: Answer, call: Call) -> Call | None:
            params = paging(answer.data, call.params)
            return None if params is None else Call(call.path, tuple(params))

        walk = self.walk(Call(path, tuple(params)), following, exact=exact)
        async with aclosing(walk):
            async for answer, _ in walk:
                yield answer.data

    async def walk(
        self, call: Call, following: Following, *, guard: LoopGuard | None = None, exact: bool = False
    ) -> AsyncGenerator[tuple[Answer, Call | None], None]:
        """Yield (answer, the call for the next page or None).

        The next page is fetched while the caller works on this one. Memory: two pages. Raises, besides what `get`
        raises, `StepFailed` when the pages repeat or do not end.
        """
        guard = guard or LoopGuard()
        guard.repeats(call)  # already known if a step continues
        coming = asyncio.ensure_future(self.ask(call, exact=exact))
        try:
            while True:
                answer = await coming
                after = following(answer, call)
                if after is None:
                    yield answer, None
                    return
                guard.check(after, self._where(call))
                call = after
                coming = asyncio.ensure_future(self.ask(call, exact=exact))
                yield answer, call
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)  # its error was raised above, or is not needed

    async def _once(self, call: Call, *, exact: bool, renewed: bool = False) -> Answer:
        url, headers = self._place(call.path)
        pace = limiter(self.context.http, (self.context.org_slug, self._credential, url.host))
        await pace.wait(self.context, self._requests_per_second)
        self.calls += 1
        request = httpx.Request(
            call.method,
            self._with_params(url, [*call.params, *self._params.items()]),
            headers=headers,
            json=call.body,
            extensions={"reach": self._reach, "timeout": self._limits, "bytes_max": self._bytes_max},
        )
        try:
            response = await self.context.http.send(request, stream=True)
            try:
                body = await read_body(response, self._where(call), bytes_max=self._bytes_max)
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            raise Transient(f"{self._where(call)} cannot be reached: {unreachable(error)}") from error
        if response.status_code == 401 and self._sign_in is not None and not renewed:
            self.retries += 1
            self._headers.update(await self._sign_in())
            self._checked = {}
            return await self._once(call, exact=exact, renewed=True)
        if response.status_code in {200, 201}:
            self.answered = response.headers
            data = parsed(
                response, body, self._where(call), exact=exact, data_path=self._data_path, redact=self.context.redact
            )
            return Answer(data, response.headers)
        if response.status_code == 204:
            return Answer(None, response.headers, empty=True)
        refusal = refused(
            response,
            body,
            self._where(call),
            renew=self._renew,
            now=self.context.now().timestamp(),
            redact=self.context.redact,
        )
        if isinstance(refusal, Throttled) and refusal.retry_after_s and response.status_code >= 400:
            wait_s = min(refusal.retry_after_s, self._retry_budget.retry_after_max_s)
            pace.pause(self.context.now() + timedelta(seconds=wait_s))
        raise refusal

    def _place(self, path: str) -> tuple[httpx.URL, httpx.Headers]:
        """Return a call's URL, once its host is known to be allowed, and its headers."""
        if path in self._checked:
            return self._checked[path]
        whole = path.startswith(("http://", "https://"))
        url = checked_url(path if whole else self.base_url + path, self._service)
        if (url.scheme, url.host, url.port) != self._own and url.host not in self._hosts:
            raise StepFailed(
                f"{self._service}: a page leads to another host, {url.netloc.decode('ascii')!r}; the credential goes to"
                f" {self._own[1]!r} only, unless config.allowed_hosts names the other"
            )
        headers = httpx.Headers({"host": url.netloc.decode("ascii")})
        headers.update(self._headers)
        self._checked = {path: (url, headers)}
        return url, headers

    def _with_params(self, url: httpx.URL, params: Params) -> httpx.URL:
        """Return the URL with its query; parameters of the URL's own query give way to others of their name."""
        if not params:
            return url
        if url.query:
            return url.copy_merge_params(list(params))
        self._encoded = {pair: self._encoded.get(pair) or urlencode([pair]) for pair in params}
        return url.copy_with(query="&".join(self._encoded[pair] for pair in params).encode("ascii"))

    def _wait_s(self, problem: Transient, attempt: int) -> float | None:
        """Seconds to wait; None if the engine should wait."""
        retry_budget = self._retry_budget
        if isinstance(problem, Throttled) and not retry_budget.retry_on_429:
            return None
        wait_s = self.context.fraction() * min(retry_budget.wait_max_s, retry_budget.wait_base_s * 2**attempt)
        if isinstance(problem, Throttled) and problem.retry_after_s > 0:
            wait_s = problem.retry_after_s
        left_s = (self.context.deadline - self.context.now()).total_seconds()
        return wait_s if wait_s <= min(retry_budget.retry_after_max_s, left_s) else None

    def _where(self, call: Call) -> str:
        return f"{self._service} {call.method} {call.path.partition('?')[0]}"
