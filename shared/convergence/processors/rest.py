"""JSON over HTTP for processors: pages, waits, refusals.

A call is repeated in place a few times when the other side is busy or the line breaks; after that the engine
decides. What cannot get better by repeating ends the step at once, with a message that says what to do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any, Final

import httpx
import orjson

from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Throttled, Transient
from convergence.ports.processor import Context
from convergence.processors.paging import Paging, Params
from convergence.processors.waiting import Patience, retry_after_s

BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
REFUSED: Final = frozenset({401, 403})
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


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
        patience: Patience | None = None,
        bytes_max: int = 64 * 1024 * 1024,
    ) -> None:
        """`service` names the API in messages; `renew` says how to replace its credential."""
        self._context = context
        self._base_url = _checked(base_url, service)
        self._headers = dict(headers)
        self._service = service
        self._renew = renew
        self._patience = patience or Patience()
        self._bytes_max = bytes_max
        self.calls = 0
        self.retries = 0

    async def get(self, path: str, params: Params = (), *, exact: bool = False) -> Any:
        """Return the parsed answer; with `exact`, numbers with a point are Decimal.

        Raises:
            CredentialRejected: 401 or 403.
            StepFailed: another 4xx, a redirect, an answer that is no JSON or larger than `bytes_max`.
            Throttled, Transient: still busy after all attempts.
        """
        attempt = 0
        while True:
            try:
                return await self._once(path, params, exact=exact)
            except Transient as problem:
                wait_s = self._wait_s(problem, attempt)
                attempt += 1
                if wait_s is None or attempt >= self._patience.attempts_max:
                    raise
                self.retries += 1
                self._context.logger.info("%s; attempt %d in %.2f s", problem, attempt + 1, wait_s)
                await self._context.sleep(wait_s)

    async def pages(self, path: str, params: Params = (), *, paging: Paging, exact: bool = False) -> AsyncIterator[Any]:
        """Yield pages; the next one is under way while the caller works on this one. Memory: two pages.

        Raises, besides what `get` raises, `StepFailed` when a page is asked for twice.
        """
        asked = {tuple(params)}
        coming = asyncio.ensure_future(self.get(path, params, exact=exact))
        try:
            while True:
                page = await coming
                following = paging(page, params)
                if following is None:
                    yield page
                    return
                if tuple(following) in asked:
                    raise StepFailed(f"{self._where(path)} repeats its cursor: paging would never end")
                asked.add(tuple(following))
                params = following
                coming = asyncio.ensure_future(self.get(path, params, exact=exact))
                yield page
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)  # its error was raised above, or nobody needs it

    async def _once(self, path: str, params: Params, *, exact: bool) -> Any:
        self.calls += 1
        request = self._context.http.build_request(
            "GET",
            self._base_url + path,
            params=list(params),
            headers={"accept": "application/json", **self._headers},
            timeout=self._patience.answer_s,
        )
        try:
            response = await self._context.http.send(request, stream=True)
            try:
                body = await self._read(response, path)
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            raise Transient(f"{self._where(path)} cannot be reached: {type(error).__name__}") from error
        if response.status_code == 200:
            return self._parse(response, body, path, exact=exact)
        raise self._refusal(response, body, path)

    async def _read(self, response: httpx.Response, path: str) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():  # decompressed: a small answer cannot swell unseen
            body += chunk
            if len(body) > self._bytes_max:
                limit = f"{self._bytes_max // 2**20} MiB"
                raise StepFailed(f"{self._where(path)} sends more than {limit} in one answer: ask for smaller pages")
        return bytes(body)

    def _parse(self, response: httpx.Response, body: bytes, path: str, *, exact: bool) -> Any:
        kind = response.headers.get("content-type", "")
        if "html" in kind or body.lstrip()[:1] == b"<":
            raise StepFailed(f"{self._where(path)} answers {kind or 'markup'} instead of JSON: check the base URL")
        try:
            answer = json.loads(body, parse_float=Decimal) if exact else orjson.loads(body)
        except ValueError as error:
            raise Transient(f"{self._where(path)} answers with broken JSON ({len(body)} bytes)") from error
        if isinstance(answer, dict) and answer.get("error"):
            raise StepFailed(f"{self._where(path)} answers 200 with an error: {_message(answer)}")
        return answer

    def _refusal(self, response: httpx.Response, body: bytes, path: str) -> ConvergenceError:
        status, where = response.status_code, self._where(path)
        if status in REFUSED:
            # The provider's own words are left out: they may quote the key.
            said = "does not know the credential" if status == 401 else "says that the credential lacks a permission"
            return CredentialRejected(f"{where} {said} ({status}). {self._renew}".rstrip())
        if status in BUSY or status >= 500:
            wait_s = retry_after_s(response.headers, self._context.now().timestamp())
            if wait_s is not None or status == 429:
                return Throttled(f"{where} answers {status}", retry_after_s=wait_s or 0.0)
            return Transient(f"{where} answers {status}")
        if 300 <= status < 400:
            return StepFailed(f"{where} redirects ({status}): set the final base URL")
        try:
            said = _message(orjson.loads(body))
        except ValueError:
            said = "no reason given"
        return StepFailed(f"{where} refuses the request ({status}): {said}")

    def _wait_s(self, problem: Transient, attempt: int) -> float | None:
        """Seconds to wait; None when the wait is the engine's."""
        patience = self._patience
        wait_s = self._context.fraction() * min(patience.wait_max_s, patience.wait_base_s * 2**attempt)
        if isinstance(problem, Throttled) and problem.retry_after_s > 0:
            wait_s = problem.retry_after_s
        left_s = (self._context.deadline - self._context.now()).total_seconds()
        return wait_s if wait_s <= min(patience.retry_after_max_s, left_s) else None

    def _where(self, path: str) -> str:
        return f"{self._service} GET {path}"


def _checked(base_url: str, service: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise StepFailed(f"{service}: {base_url!r} is no URL") from error
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise StepFailed(f"{service}: {base_url!r} must begin with https:// (a credential goes with every call)")
    return base_url.rstrip("/")


def _message(answer: Any) -> str:
    said = answer.get("error", answer) if isinstance(answer, dict) else answer
    text = said.get("message", said) if isinstance(said, dict) else said
    return str(text)[:300]
