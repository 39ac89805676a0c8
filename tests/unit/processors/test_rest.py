"""The REST client against a real server that misbehaves in every way we know."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Throttled, Transient
from convergence.ports.http.waits import retry_after_s
from convergence.processors.http.auth import Auth, signed
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import cursor_paging
from convergence.processors.http.retry_budget import RetryBudget
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import ManualClock, WorldContext

KEY = "sk-very-secret"
GOOD = Response(200, b'{"data": [1], "has_more": false}')


class Script:
    """Answers one response after the other; the last one again and again."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


def with_client(
    handler: Callable[[Request], Response],
    work: Callable[[RestClient], Awaitable[Any]],
    secret: str = KEY,
    **options: Any,
) -> tuple[Any, ManualClock, RestClient]:
    clock = ManualClock()

    async def main() -> tuple[Any, RestClient]:
        server = HttpServer(handler)
        base_url = await server.start()
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as http:
                context = WorldContext(http, None, clock)  # no test here touches a table
                context.vault.secrets["openai"] = secret
                headers = {"authorization": f"Bearer {KEY}"}
                client = RestClient(context, base_url, headers=headers, service="Test", renew="Renew it.", **options)
                return await work(client), client
        finally:
            await server.stop()

    answer, client = asyncio.run(main())
    return answer, clock, client


def failure(*responses: Response, **options: Any) -> ConvergenceError:
    with pytest.raises(ConvergenceError) as caught:
        with_client(Script(*responses), lambda client: client.get("/x"), **options)
    return caught.value


def test_a_busy_call_is_repeated_in_place_and_counted() -> None:
    script = Script(Response(500), Response(503), GOOD)
    answer, clock, client = with_client(script, lambda client: client.get("/x"))
    assert answer["data"] == [1]
    assert (client.calls, client.retries) == (3, 2)
    assert clock.waits == [0.25, 0.5]  # half of 0.5 s and of 1 s: the jitter of the test is 0.5


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:05 GMT"}, 5.0),
    ],
)
def test_retry_after_is_honoured_in_all_spellings(headers: dict[str, str], wait_s: float) -> None:
    _, clock, _ = with_client(Script(Response(429, headers=headers), GOOD), lambda client: client.get("/x"))
    assert clock.waits == [wait_s]


def test_a_retry_after_longer_than_our_patience_is_left_to_the_engine() -> None:
    problem = failure(Response(429, headers={"retry-after": "600"}))
    assert isinstance(problem, Throttled)
    assert problem.retry_after_s == 600


def test_a_retry_after_that_makes_no_sense_is_ignored() -> None:
    assert retry_after_s({"retry-after": "soon"}, 0.0) is None
    assert retry_after_s({"retry-after": "-4"}, 0.0) == 0.0


def test_a_provider_that_stays_down_becomes_transient_after_the_last_attempt() -> None:
    problem = failure(Response(502), retry_budget=RetryBudget(attempts_max=3))
    assert isinstance(problem, Transient)
    assert "502" in str(problem)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_final_with_advice_and_without_the_providers_words(status: int) -> None:
    script = Script(Response(status, f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode()))
    with pytest.raises(CredentialRejected) as caught:
        with_client(script, lambda client: client.get("/x"))
    assert len(script.requests) == 1
    assert "Renew it." in str(caught.value)
    assert KEY not in str(caught.value)


RATE_LIMITS = [
    Response(403, headers={"retry-after": "7"}),
    Response(403, b'{"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}]}}'),
    Response(403, b'{"error": {"status": "PERMISSION_DENIED", "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}}'),
    Response(403, b'{"error": {"code": "TooManyRequests"}}'),
    Response(403, b'[{"error": {"errors": [{"reason": "userRateLimitExceeded"}]}}]'),
    Response(403, b"{}", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795251607"}),
    Response(400, b'{"__type": "com.amazon#ThrottlingException", "message": "Rate exceeded"}'),
    Response(200, b'{"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}'),
]


@pytest.mark.parametrize("response", RATE_LIMITS)
def test_a_rate_limit_under_another_status_than_429_is_waited_for(response: Response) -> None:
    answer, clock, client = with_client(Script(response, GOOD), lambda client: client.get("/x"))
    assert answer["data"] == [1]
    assert client.retries == 1
    assert clock.waits[0] == (7.0 if response.headers else 0.25)
    assert isinstance(failure(response, retry_budget=RetryBudget(attempts_max=1)), Throttled)


@pytest.mark.parametrize(
    "response",
    [
        Response(403, b'{"error": {"status": "PERMISSION_DENIED", "message": "rateLimitExceeded is not the reason"}}'),
        Response(403, headers={"x-ratelimit-remaining": "12", "x-ratelimit-reset": "1795251607"}),
        Response(403, b"forbidden"),
        Response(401, b'{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}', {"retry-after": "7"}),
    ],
)
def test_a_refusal_for_another_reason_is_final(response: Response) -> None:
    assert isinstance(failure(response), CredentialRejected)


def test_an_answer_without_content_is_none() -> None:
    assert with_client(Script(Response(204)), lambda client: client.get("/x"))[0] is None


def test_an_answer_that_is_not_ready_is_asked_for_again_when_it_says() -> None:
    script = Script(Response(202, b"{}", {"retry-after": "3"}), Response(202), GOOD)
    answer, clock, client = with_client(script, lambda client: client.get("/x"))
    assert answer["data"] == [1]
    assert (clock.waits, client.retries) == ([3.0, 0.5], 2)
    later = failure(Response(202, headers={"retry-after": "600"}))
    assert isinstance(later, Throttled)
    assert later.retry_after_s == 600


def test_waiting_for_an_answer_that_is_not_ready_holds_up_no_other_call() -> None:
    async def work(client: RestClient) -> None:
        with pytest.raises(Throttled):
            await client.get("/x")
        await client.get("/y")

    script = Script(Response(202, headers={"retry-after": "600"}), GOOD)
    assert with_client(script, work)[1].waits == []


def test_another_4xx_is_final_and_says_why() -> None:
    problem = failure(Response(400, b'{"error": {"message": "limit is too large"}}'))
    assert isinstance(problem, StepFailed)
    assert "limit is too large" in str(problem)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (Response(200, b"<html>login</html>", content_type="text/html"), "instead of JSON"),
        (Response(200, b"  <!doctype html>"), "instead of JSON"),
        (Response(302, headers={"location": "https://elsewhere.example"}), "redirects"),
        (Response(200, b'{"error": {"message": "quota"}}'), "200 with an error: quota"),
        (Response(404, b"gone"), "no reason given"),
    ],
)
def test_an_answer_that_cannot_get_better_is_final(response: Response, message: str) -> None:
    problem = failure(response)
    assert isinstance(problem, StepFailed)
    assert message in str(problem)


def test_half_a_body_is_asked_for_again() -> None:
    whole = Response(200, b'{"data": [1, 2, 3], "has_more": false}')
    cut = Response(200, whole.body, cut=True)
    answer, _, client = with_client(Script(cut, whole), lambda client: client.get("/x"))
    assert answer["data"] == [1, 2, 3]
    assert client.retries == 1


def test_broken_json_is_asked_for_again_and_then_given_up_as_transient() -> None:
    problem = failure(Response(200, b'{"data": ['), retry_budget=RetryBudget(attempts_max=2))
    assert isinstance(problem, Transient)
    assert "broken JSON" in str(problem)


def test_a_small_answer_that_swells_past_the_cap_is_refused() -> None:
    bomb = Response(200, gzip.compress(b" " * 5_000_000), {"content-encoding": "gzip"})
    problem = failure(bomb, bytes_max=1_000_000)
    assert isinstance(problem, StepFailed)
    assert "smaller pages" in str(problem)


def test_a_dead_host_is_transient_and_the_message_shows_no_key() -> None:
    async def call(client: RestClient) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        await RestClient(client.context, "http://127.0.0.1:9", headers=headers, service="Test").get("/x")

    with pytest.raises(Transient, match="cannot be reached") as caught:
        with_client(Script(GOOD), call)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("base_url", ["http://api.example.org/v1", "ftp://x", "api.example.org"])
def test_a_key_does_not_travel_over_plain_http(base_url: str) -> None:
    with pytest.raises(StepFailed, match="https"):
        RestClient(None, base_url, headers={}, service="Test")  # type: ignore[arg-type]  # refused before it is used


def test_money_keeps_its_digits() -> None:
    script = Script(Response(200, b'{"value": 0.10000000000000000001}'))
    answer, _, _ = with_client(script, lambda client: client.get("/x", exact=True))
    assert answer["value"] == Decimal("0.10000000000000000001")


def page(number: int, last: int) -> Response:
    more = "true" if number < last else "false"
    return Response(200, f'{{"data": [{number}], "has_more": {more}, "next_page": "c{number + 1}"}}'.encode())


async def collect(client: RestClient) -> list[int]:
    return [
        item async for answer in client.pages("/x", [("limit", "1")], paging=cursor_paging()) for item in answer["data"]
    ]


def test_pages_follow_the_cursor_and_keep_the_other_parameters() -> None:
    script = Script(page(1, 3), page(2, 3), page(3, 3))
    answer, _, _ = with_client(script, collect)
    assert answer == [1, 2, 3]
    assert [dict(request.query) for request in script.requests] == [
        {"limit": "1"},
        {"limit": "1", "page": "c2"},
        {"limit": "1", "page": "c3"},
    ]


def test_the_next_page_is_under_way_while_this_one_is_worked_on() -> None:
    script = Script(page(1, 3), page(2, 3), page(3, 3))

    async def slow(client: RestClient) -> int:
        pages = client.pages("/x", paging=cursor_paging())
        await anext(pages)
        for _ in range(1000):
            await asyncio.sleep(0)
            if len(script.requests) == 2:
                break
        await pages.aclose()  # type: ignore[attr-defined]  # it is an async generator
        return len(script.requests)

    assert with_client(script, slow)[0] == 2


def test_a_repeating_cursor_is_an_error_instead_of_an_endless_loop() -> None:
    with pytest.raises(StepFailed, match="repeats its cursor"):
        with_client(Script(Response(200, b'{"data": [], "has_more": true, "next_page": "same"}')), collect)


def test_a_page_with_more_to_come_but_no_cursor_is_an_error() -> None:
    with pytest.raises(StepFailed, match="but no 'next_page'"):
        with_client(Script(Response(200, b'{"data": [], "has_more": true, "next_page": null}')), collect)


def test_a_page_that_is_not_an_object_is_an_error() -> None:
    with pytest.raises(StepFailed, match="a page is a list"):
        with_client(Script(Response(200, b"[1, 2]")), collect)


def test_a_secret_is_masked_before_a_providers_reason_is_cut() -> None:
    async def work(client: RestClient) -> Any:
        client.context.secrets.mask(KEY)
        return await client.get("/x")

    reason = "x" * 295 + " " + KEY  # of which four characters would be left
    with pytest.raises(StepFailed) as caught:
        with_client(Script(Response(400, b'{"error": "%b"}' % reason.encode())), work)
    assert str(caught.value).endswith("x [sec")


def test_an_access_token_is_masked_like_the_secret_it_was_got_with() -> None:
    token = "ya29.a-token-that-lives-for-an-hour"

    async def work(client: RestClient) -> Any:
        auth = Auth(type="oauth2", provider="openai", token_url=client.base_url + "/token")
        await signed(auth, client.context, "loopback")
        return client.context.redact(f"got {token}")

    answer = Response(200, b'{"access_token": "%b"}' % token.encode())
    got, _, _ = with_client(Script(answer), work, secret="id:the-client-secret")
    assert got == "got [secret]"
