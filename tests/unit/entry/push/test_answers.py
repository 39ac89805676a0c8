"""What the push endpoint answers, and what it keeps."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from convergence.domain.trace import current
from convergence.entry.push.envelope import BODY_MAX
from convergence.errors import Denied, PermissionMissing, Transient
from convergence.ports.bus import Ack, Answer, Retry
from tests.unit.entry.push.conftest import Endpoint, envelope


def says(answer: Answer | Exception) -> Callable[[], Awaitable[Answer]]:
    async def handler() -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (Ack(), 204, ""),
        (Retry("due soon", 7.2), 503, "due soon"),
        (Transient("waiting for Firestore: no answer"), 503, "waiting for Firestore"),
        (PermissionMissing("grant datastore.entities.get"), 500, "grant datastore.entities.get"),
        (Denied("not yours"), 500, "not yours"),
        (RuntimeError("secret"), 500, "internal error"),
    ],
)
def test_an_answer_becomes_a_status(endpoint: Endpoint, answer: Any, status: int, detail: str) -> None:
    endpoint.handler.answer = says(answer)
    given = endpoint.engine.run_scenario(lambda: endpoint.post(envelope()))
    assert (given.status_code, detail in given.text) == (status, True)
    assert "secret" not in given.text
    assert given.headers.get("retry-after") == ({Retry: "8", Transient: "1"}.get(type(answer)))


def test_a_mistake_of_ours_is_logged_with_its_traceback(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.handler.answer = says(RuntimeError("the bug"))
    with caplog.at_level(logging.ERROR):
        endpoint.engine.run_scenario(lambda: endpoint.post(envelope()))
    assert "the bug" in caplog.text
    assert "Traceback" in caplog.text


def test_what_an_operator_must_mend_stands_in_the_line_itself(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.handler.answer = says(PermissionMissing("grant datastore.entities.get on projects/p"))
    endpoint.engine.run_scenario(lambda: endpoint.post(envelope()))
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)
    assert line == "step-ready: a delivery failed: grant datastore.entities.get on projects/p"


def test_the_handler_gets_the_message_as_it_was_published(endpoint: Endpoint) -> None:
    body = envelope(b"\x00hello", attempt=3, attributes={"org": "acme"}) | {"added": "by Google"}
    assert endpoint.engine.run_scenario(lambda: endpoint.post(body)).status_code == 204
    (delivery,) = endpoint.handler.seen
    assert (delivery.message.data, delivery.message.attributes) == (b"\x00hello", {"org": "acme"})
    assert (delivery.message_id, delivery.attempt, delivery.topic) == ("7", 3, "step-ready")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'{"message": 3}',
        envelope() | {"deliveryAttempt": "3"},
        envelope(messageId=None, message_id=None),
        {"message": {"data": "no base64!", "messageId": "7", "publishTime": "2026-03-01T00:00:00Z"}},
        envelope(attributes={"a": 1}),
        envelope(publishTime="yesterday"),
        envelope(publishTime=None),
        {"message": {"data": "", "messageId": "7"}},
    ],
)
def test_what_is_not_a_delivery_is_kept_with_its_bytes_and_acknowledged(endpoint: Endpoint, body: Any) -> None:
    async def scenario() -> tuple[httpx.Response, list[dict[str, Any]]]:
        answer = await endpoint.post(body)
        await endpoint.post(body)  # comes again: the same dead letter
        return answer, await endpoint.dead_letters()

    answer, (dead_letter,) = endpoint.engine.run_scenario(scenario)
    assert (answer.status_code, endpoint.handler.seen) == (204, [])
    assert dead_letter["error"]["code"] == "message.unreadable"
    assert "not a push delivery" in dead_letter["error"]["message"]
    if isinstance(body, bytes):
        assert base64.b64decode(dead_letter["data"]) == body


@pytest.mark.parametrize(
    "other",
    [
        {"messageId": "8", "message_id": "8"},
        {"attributes": {"schema_version": "2", "org": "globex"}},
        {"attributes": {"schema_version": "2", "org": "acme", "more": ""}},
        {"data": base64.b64encode(b"hints").decode()},
    ],
)
def test_two_different_messages_are_two_dead_letters(endpoint: Endpoint, other: dict[str, Any]) -> None:
    first = envelope(b"hint", attributes={"schema_version": "2", "org": "acme"})

    async def scenario() -> int:
        for body in (first, first, {"message": first["message"] | other}):
            await endpoint.post(body)
        return len(await endpoint.dead_letters())

    assert endpoint.engine.run_scenario(scenario) == 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"attributes": {"schema_version": "2"}}, "message.other_version"),
        ({"publishTime": "2026-02-28T22:59:59Z"}, "message.too_old"),
    ],
)
def test_another_version_and_an_old_message_are_kept_with_the_reason(
    endpoint: Endpoint, message: dict[str, Any], code: str
) -> None:
    async def scenario() -> tuple[int, list[dict[str, Any]]]:
        return (await endpoint.post(envelope(b"hint", **message))).status_code, await endpoint.dead_letters()

    status, (dead_letter,) = endpoint.engine.run_scenario(scenario)
    assert (status, endpoint.handler.seen, dead_letter["error"]["code"]) == (204, [], code)
    assert base64.b64decode(dead_letter["data"]) == b"hint"


def test_age_says_nothing_where_no_limit_is_set(endpoint: Endpoint) -> None:
    endpoint.age_max_s = None
    assert (
        endpoint.engine.run_scenario(lambda: endpoint.post(envelope(publishTime="2020-01-01T00:00:00Z"))).status_code
        == 204
    )
    assert len(endpoint.handler.seen) == 1


def test_of_a_large_dead_letter_the_beginning_is_kept(endpoint: Endpoint) -> None:
    async def scenario() -> tuple[int, list[dict[str, Any]]]:
        return (await endpoint.post(b"x" * 3_000_000)).status_code, await endpoint.dead_letters()

    status, (dead_letter,) = endpoint.engine.run_scenario(scenario)
    assert (status, dead_letter["data_bytes"], len(dead_letter["data"]) < 400_000) == (204, 3_000_000, True)


def test_a_body_over_the_limit_of_the_bus_is_refused_unread(endpoint: Endpoint) -> None:
    answer = endpoint.engine.run_scenario(lambda: endpoint.post(b"x" * (BODY_MAX + 1)))
    assert (answer.status_code, answer.json()["code"], endpoint.handler.seen) == (413, "request.too_large", [])


def test_while_the_store_is_away_a_poisoned_message_waits_too(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(writes: Any) -> Any:
        raise Transient("waiting for Firestore: connection refused")

    monkeypatch.setattr(endpoint.engine.documents, "commit", away)

    async def unused(slug: str, **limits: int) -> None:
        return None

    monkeypatch.setattr(endpoint.engine, "org", unused)
    answer = endpoint.engine.run_scenario(lambda: endpoint.post(b"poison"))
    assert (answer.status_code, "waiting for Firestore" in answer.json()["detail"]) == (503, True)


def test_a_topic_of_another_function_is_not_found(endpoint: Endpoint) -> None:
    answer = endpoint.engine.run_scenario(lambda: endpoint.post(envelope(), topic="step-redy"))
    assert (answer.status_code, "step-ready" in answer.json()["detail"]) == (404, True)


def test_without_a_good_token_nothing_is_read(endpoint: Endpoint) -> None:
    async def check(token: str) -> None:
        if token != "good":
            raise Denied("the token's aud is another one")

    endpoint.check = check

    async def scenario() -> list[int]:
        given = [{}, {"authorization": "Basic x"}, {"authorization": "Bearer bad"}, {"authorization": "Bearer good"}]
        found = []
        for headers in given:
            endpoint.asked_services = 0
            found.append((await endpoint.post(b"not read", **headers)).status_code)
            assert (endpoint.asked_services > 0) == (found[-1] == 204)
        return found

    assert endpoint.engine.run_scenario(scenario) == [401, 401, 403, 204]


def test_over_its_limit_an_instance_refuses_before_it_reads(endpoint: Endpoint) -> None:
    async def scenario() -> tuple[int, str, int]:
        go = asyncio.Event()

        async def wait() -> Answer:
            await go.wait()
            return Ack()

        endpoint.handler.answer = wait
        inside = [asyncio.create_task(endpoint.post(envelope())) for _ in range(2)]
        await endpoint.handler.called(2)
        endpoint.asked_services = 0
        refused = await endpoint.post(envelope())
        asked = endpoint.asked_services
        go.set()
        assert [(await each).status_code for each in inside] == [204, 204]
        assert (await endpoint.post(envelope())).status_code == 204
        return refused.status_code, refused.json()["detail"], asked

    status, detail, asked = endpoint.engine.run_scenario(scenario)
    assert (status, "2 deliveries in progress" in detail, asked) == (503, True, 0)


def test_a_stopping_instance_lets_quick_ones_finish_and_the_others_go(endpoint: Endpoint) -> None:
    async def scenario() -> list[int]:
        seconds = iter((8.0, 3600.0))

        async def work() -> Answer:
            await asyncio.sleep(next(seconds))
            return Ack()

        endpoint.handler.answer = work
        inside = [asyncio.create_task(endpoint.post(envelope())) for _ in range(2)]
        await endpoint.handler.called(2)
        endpoint.concurrency.drain()
        late = await endpoint.post(envelope())
        began = asyncio.get_running_loop().time()
        found = [(await each).status_code for each in inside]
        assert asyncio.get_running_loop().time() - began == pytest.approx(9.0)
        return [late.status_code, *found]

    assert endpoint.engine.run_scenario(scenario) == [503, 204, 503]


def test_a_delivery_ends_with_the_time_of_its_function(endpoint: Endpoint) -> None:
    async def work() -> Answer:
        await asyncio.sleep(3600)
        return Ack()

    endpoint.handler.answer = work
    answer = endpoint.engine.run_scenario(lambda: endpoint.post(envelope()))
    assert (answer.status_code, "not done within 535 s" in answer.json()["detail"]) == (503, True)


def test_the_trace_of_the_message_goes_before_that_of_the_request(endpoint: Endpoint) -> None:
    first, second = (f"00-{digit * 32}-{'1' * 16}-01" for digit in "ab")
    seen: list[Any] = []

    async def look() -> Answer:
        seen.append(current())
        return Ack()

    endpoint.handler.answer = look

    async def scenario() -> None:
        attributes = {"traceparent": first, "org": "acme", "run_id": "r1"}
        await endpoint.post(envelope(attributes=attributes), traceparent=second)
        await endpoint.post(envelope(), traceparent=second)

    endpoint.engine.run_scenario(scenario)
    assert [work.trace.header() for work in seen] == [first, second]
    assert seen[0].labels == {"org": "acme", "run_id": "r1", "message_id": "7"}


def test_health_and_readiness_say_what_is_waited_for(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(path: str) -> Any:
        raise Transient("waiting for Firestore: connection refused")

    async def scenario() -> list[httpx.Response]:
        async with endpoint.client() as client:
            well = await client.get("/ready")
            monkeypatch.setattr(endpoint.engine.documents, "get", away)
            return [well, await client.get("/ready"), await client.get("/health")]

    well, waiting, health = endpoint.engine.run_scenario(scenario)
    assert [each.status_code for each in (well, waiting, health)] == [200, 503, 200]
    assert "waiting for Firestore" in waiting.json()["detail"]
