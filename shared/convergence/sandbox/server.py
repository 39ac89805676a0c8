"""The sandbox as the demo and the tests start it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from convergence.sandbox import (
    anthropic,
    aws,
    azure,
    azure_bill,
    bedrock_logs,
    bigquery,
    bills,
    claude_code,
    deepseek,
    directions,
    example,
    google,
    google_lists,
    openai,
    openrouter,
    prices,
    traffic,
)
from convergence.sandbox.faults import Plan
from convergence.sandbox.http import HttpServer, Request, Response
from convergence.sandbox.openai import ADMIN_KEY

RETRY_AFTER_S: Final = 0.2
THROTTLED_AT: Final = 3  # usage calls, counted from the first one of an extraction
BROKEN_AT: Final = 7
# The same for Anthropic, whose calls are counted from the first one to the sandbox.
ANTHROPIC_THROTTLED_AT: Final = 2
ANTHROPIC_BROKEN_AT: Final = 4
# Providers whose answers depend on the request alone: is it for this one, and what does it answer?
PROVIDERS: Final[Sequence[tuple[Callable[[str], bool], Callable[[Request], Response]]]] = (
    (azure_bill.is_ours, azure_bill.answer),
    (azure.is_ours, azure.answer),
    (google_lists.is_ours, google_lists.answer),
    (google.is_ours, google.answer),
    (prices.is_ours, prices.answer),
    (bills.is_ours, bills.answer),
    (aws.is_ours, aws.answer),
    (bedrock_logs.is_ours, bedrock_logs.answer),
    (openrouter.is_ours, openrouter.answer),
)

__all__ = ["ADMIN_KEY", "Sandbox"]


class Sandbox:
    """Provider APIs on loopback. `requests` counts the requests, `faults` those refused on purpose.

    One answer in each extraction is 429 with Retry-After, one is 500: always the same ones, so that a run's
    retries can be seen and tested. `faults=False` leaves them out. `broken` are answers that go wrong as planned.
    """

    def __init__(self, *, faults: bool = True, broken: Sequence[Plan] = ()) -> None:
        self.broken = list(broken)
        self._server = HttpServer(self._handle)
        self._with_faults = faults
        self._since_start = 0
        self._anthropic_calls = 0
        self.deepseek = deepseek.Account()
        self.bigquery = bigquery.BigQuery()
        self.base_url = ""
        self.requests = 0
        self.faults = 0

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1 and return the base URL of all its APIs, `http://127.0.0.1:{port}/v1`."""
        self.base_url = await self._server.start(port) + "/v1"
        return self.base_url

    def parameters(self, declared: Mapping[str, str | bool]) -> dict[str, Any]:
        """Return a registered provider's `sandbox` parameters for this sandbox, which is already listening."""
        return directions.parameters(declared, self.base_url)

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop()

    @staticmethod
    def describe() -> str:
        """Return source, licence and assumptions, for people."""
        return traffic.describe()

    def _handle(self, request: Request) -> Response:
        self.requests += 1
        response = self.answer(request)
        for plan in self.broken:
            response = plan.apply(request, response)
        return response

    def answer(self, request: Request) -> Response:
        """Answer a request as the provider does whose path it has; planned faults are not applied."""
        if bigquery.is_ours(request.path):
            return self.bigquery.answer(request)
        for is_ours, answer in PROVIDERS:
            if is_ours(request.path):
                return answer(request)
        if request.method != "GET":
            return openai.error(405, f"Method {request.method} is not allowed here.")
        if anthropic.is_ours(request.path):
            refusal = self._anthropic_fault() or anthropic.authorise(request)
            return refusal or (claude_code if request.path == claude_code.PATH else anthropic).answer(request)
        if request.path == example.PATH:
            return example.answer(request)
        if request.path == deepseek.PATH:
            return self.deepseek.answer(request)
        return openai.authorise(request) or self._fault(request) or openai.answer(request)

    def _anthropic_fault(self) -> Response | None:
        self._anthropic_calls += 1
        if not self._with_faults or self._anthropic_calls not in {ANTHROPIC_THROTTLED_AT, ANTHROPIC_BROKEN_AT}:
            return None
        self.faults += 1
        if self._anthropic_calls == ANTHROPIC_THROTTLED_AT:
            headers = {"retry-after": str(RETRY_AFTER_S)}
            return anthropic.error(429, "rate_limit_error", "Number of requests has exceeded the limit.", headers)
        return anthropic.error(529, "overloaded_error", "Overloaded")

    def _fault(self, request: Request) -> Response | None:
        """An extraction begins with the first page of completions. Concurrent requests for the bill are not counted."""
        if "/usage/" not in request.path:
            return None
        if request.path.endswith("/completions") and all(name != "page" for name, _ in request.query):
            self._since_start = 0
        self._since_start += 1
        if not self._with_faults or self._since_start not in {THROTTLED_AT, BROKEN_AT}:
            return None
        self.faults += 1
        if self._since_start == THROTTLED_AT:
            headers = {"retry-after": str(RETRY_AFTER_S), "retry-after-ms": str(int(RETRY_AFTER_S * 1000))}
            return openai.error(429, "Rate limit reached.", code="rate_limit_exceeded", headers=headers)
        return openai.error(500, "The server had an error while processing your request.")
