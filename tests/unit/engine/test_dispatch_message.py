"""Runs that are asked for by messages on the topic `dispatch`."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.engine.dispatch_message import DispatchMessage, on_dispatch, schema_text
from convergence.errors import InvalidInput
from convergence.ports.bus import DISPATCH, Ack, Delivery, Message, Retry
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one

DOCS = Path(__file__).parents[3] / "docs"


def asked(**fields: Any) -> Message:
    given = {"org": "acme", "pipeline": "p/d/n", "trigger": "schedule", "idempotency_key": "daily@1"} | fields
    return Message(orjson.dumps(given), {"org": "acme", "kind": "dispatch"})


def delivered(message: Message, attempt: int = 1) -> Delivery:
    return Delivery(message, "m1", attempt, DISPATCH)


async def dead_letters(engine: Engine) -> list[dict[str, Any]]:
    return [document.data for document in (await engine.documents.query("dead_letters")).documents]


def test_a_message_that_comes_twice_makes_one_run(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.bus.publish(DISPATCH, [asked(), asked()])
        await engine.bus.publish(DISPATCH, [asked()])
        await engine.bus.idle()
        (run,) = (await engine.documents.query("runs")).documents
        assert (run.data["status"], run.data["trigger"]) == ("completed", "schedule")
        await engine.bus.publish(DISPATCH, [asked(idempotency_key="daily@2")])
        await engine.bus.idle()
        assert await engine.documents.count("runs") == 2

    engine.run_scenario(scenario)
    assert engine.started == ["load_a", "load_a"]


def test_the_same_key_of_an_api_caller_or_another_trigger_is_another_run(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        caller = await engine.start(idempotency_key="daily@1")
        for trigger in ("schedule", "backfill"):
            assert await on_dispatch(engine.services, delivered(asked(trigger=trigger))) == Ack()
        assert await engine.documents.count("runs") == 3
        assert caller.trigger == "manual"

    engine.run_scenario(scenario)


def test_dates_count_from_the_time_at_which_the_schedule_fired(engine: Engine) -> None:
    engine.pipeline(one())
    seen: list[Any] = []

    async def look(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        seen.append(context.start_date.isoformat())
        return {"status": "SUCCESS"}

    async def scenario() -> None:
        engine.works["load_a"] = look
        expected = DispatchMessage.decode(asked(fire_time="2025-03-04T06:00:00+00:00").data)
        assert expected.fire_time == datetime(2025, 3, 4, 6, tzinfo=UTC)
        await engine.bus.publish(DISPATCH, [expected.encode()])
        await engine.bus.idle()

    engine.run_scenario(scenario)
    assert seen == ["2025-03-03"], "the day before it fired"


def test_over_its_quota_a_message_waits_until_a_run_ends(engine: Engine) -> None:
    engine.pipeline(one())

    async def slow(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.sleep(20)
        return {"status": "SUCCESS"}

    async def scenario() -> None:
        await engine.org("small", concurrent=1)
        engine.works["load_a"] = slow
        await engine.start(org="small")
        answer = await on_dispatch(engine.services, delivered(asked(org="small")))
        assert answer == Retry("Concurrent pipeline limit (1) reached; wait for a run to end.")
        await engine.bus.publish(DISPATCH, [asked(org="small")])
        await engine.bus.idle()
        runs = (await engine.documents.query("runs")).documents
        assert [run.data["status"] for run in runs] == ["completed", "completed"]

    engine.run_scenario(scenario)


def test_a_message_that_never_got_a_slot_is_a_dead_letter_in_the_end(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        await engine.org("small", daily=1)
        await engine.run(org="small")
        await engine.bus.publish(DISPATCH, [asked(org="small")])
        await asyncio.sleep(100 * 60)
        (dead_letter,) = await dead_letters(engine)
        assert dead_letter["error"]["code"] == "message.given_up"
        assert "could not be created in 100 deliveries" in dead_letter["error"]["message"]
        assert base64.b64decode(dead_letter["data"]) == asked(org="small").data

    engine.run_scenario(scenario)


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"org": "Not An Org"}, "message.unreadable", "org: String should match pattern"),
        ({"trigger": "magic"}, "message.unreadable", "trigger: Input should be"),
        ({"api_key": "cvk_x"}, "message.unreadable", "api_key: Extra inputs are not permitted"),
        ({"idempotency_key": ""}, "message.unreadable", "idempotency_key: String should match pattern"),
        ({"org": "nobody"}, "not_found", "nobody/p/d/n (schedule): Unknown org"),
        ({"pipeline": "p/d/m"}, "not_found", "Pipeline not found: p/d/m"),
        ({"parameters": {"more": 1}}, "input.invalid", "more"),
        ({"parameters": {"date": "2999-01-01"}}, "input.invalid", "2999-01-01 is in the future"),
        ({"parameters": {"start_date": "1969-12-31", "end_date": "1970-01-02"}}, "input.invalid", "is before 1970"),
        ({"parameters": {"start_date": "1980-01-01"}}, "input.invalid", "is more than ten years"),
    ],
)
def test_what_is_refused_for_good_is_a_dead_letter_with_the_reason(
    engine: Engine, fields: dict[str, Any], code: str, reason: str
) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        for _ in range(2):
            assert await on_dispatch(engine.services, delivered(asked(**fields))) == Ack()
        (dead_letter,) = await dead_letters(engine)
        assert (dead_letter["error"]["code"], dead_letter["topic"]) == (code, DISPATCH)
        assert reason in dead_letter["error"]["message"]
        assert await engine.documents.count("runs") == 0

    engine.run_scenario(scenario)


def test_odd_days_that_a_message_confirms_are_run(engine: Engine) -> None:
    engine.pipeline(one())
    days = {"start_date": "2999-01-01", "end_date": "2999-01-02"}

    async def scenario() -> None:
        assert await on_dispatch(engine.services, delivered(asked(parameters=days))) == Ack()
        (dead_letter,) = await dead_letters(engine)
        assert "force=true" in dead_letter["error"]["message"]
        assert await on_dispatch(engine.services, delivered(asked(parameters=days, force=True))) == Ack()
        assert (
            await on_dispatch(
                engine.services, delivered(asked(parameters={"end_date": "MONTH_END"}, idempotency_key="daily@2"))
            )
            == Ack()
        )
        assert await engine.documents.count("runs") == 2

    engine.run_scenario(scenario)


@pytest.mark.parametrize("pipeline", ["p/d/n", "p/d/gone"])
def test_a_secret_in_a_message_is_refused_and_is_in_no_dead_letter(engine: Engine, pipeline: str) -> None:
    engine.pipeline("parameters: {token: {type: secret, required: false}, note: {type: string, default: x}}\n" + one())
    reported = asked(pipeline=pipeline, parameters={"token": "sk-very-secret", "note": "y"})

    async def scenario() -> None:
        assert await on_dispatch(engine.services, delivered(reported)) == Ack()
        (dead_letter,) = await dead_letters(engine)
        kept = base64.b64decode(dead_letter["data"])
        assert b"sk-very-secret" not in kept + orjson.dumps(dead_letter)
        assert orjson.loads(kept)["org"] == "acme"

    engine.run_scenario(scenario)


def test_a_refusal_names_fields_and_shows_no_value() -> None:
    with pytest.raises(InvalidInput, match=r"parameters: Input should be an object") as refused:
        DispatchMessage.decode(asked(parameters="sk-very-secret").data)
    assert "sk-very-secret" not in str(refused.value)
    with pytest.raises(InvalidInput, match="the message: Invalid JSON"):
        DispatchMessage.decode(b"\xff{")


def test_the_schema_in_the_documents_is_the_models() -> None:
    remedy = "run `convergence schema dispatch > docs/dispatch.schema.json`"
    assert (DOCS / "dispatch.schema.json").read_text("utf-8") == schema_text(), remedy


def test_the_example_in_the_documents_is_a_message() -> None:
    page = (DOCS / "messages.md").read_text("utf-8")
    example = page.partition("```json\n")[2].partition("```")[0]
    assert DispatchMessage.decode(example.encode()).encode().attributes["kind"] == "dispatch"
