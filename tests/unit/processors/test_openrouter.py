"""OpenRouter: what its sandbox reports, through the real engine to FOCUS, and answers that are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.errors import CredentialRejected, StepFailed
from convergence.processors.openrouter import validation
from convergence.processors.openrouter.cost import OpenRouterCostProcessor
from convergence.processors.openrouter.usage import BYOK, OpenRouterUsageProcessor
from convergence.sandbox import openrouter
from convergence.sandbox.http import HttpServer, Response
from tests.unit.processors.bills import charges
from tests.unit.processors.installation import Here, installed
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

PIPELINE = "openrouter/cost/usage_cost"


def running(folder: Path, work: Callable[[Here, list[date]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await here.good("openrouter/auth/setup", api_key=openrouter.KEY)
            last = here.installation.services.clock.now().date() - timedelta(days=1)
            await work(here, [last - timedelta(days=back) for back in (2, 1, 0)])

    asyncio.run(main())


def test_usage_and_cost_are_those_of_the_provider(tmp_path: Path) -> None:
    async def work(here: Here, days: list[date]) -> None:
        asked = {"api_base_url": f"{here.url}/openrouter", "start_date": str(days[0]), "end_date": str(days[-1])}
        reported = [row for day in days for row in openrouter.rows(day)]
        spent = sum((row["usage"] for row in reported), Decimal(0))
        assert spent > 0
        for by_workspace in (False, True):
            results = await here.good(PIPELINE, by_workspace=by_workspace, **asked)
            assert Decimal(results["extract_costs"]["cost"]["USD"]) == spent
            lines = len(reported) * (2 if by_workspace else 1)
            sums = await charges(here, "COUNT(*), SUM(BilledCost), SUM(EffectiveCost), COUNT(DISTINCT x_ChargeId)")
            assert sums == [(lines, spent, spent, lines)]
            counted = await here.rows("SELECT sku, unit, SUM(quantity) AS n FROM genai_metrics_daily_raw GROUP BY 1, 2")
            assert {(row["sku"], row["unit"]): row["n"] for row in counted} == {
                ("input tokens", "Tokens"): sum(row["prompt_tokens"] for row in reported),
                ("output tokens", "Tokens"): sum(row["completion_tokens"] for row in reported),
                ("reasoning tokens, part of output", "Tokens"): sum(row["reasoning_tokens"] for row in reported),
                ("requests", "Requests"): sum(row["requests"] for row in reported),
                (BYOK, "USD"): sum(row["byok_usage_inference"] for row in reported),
            }
        columns = "DISTINCT ServiceProviderName, SkuId, x_Model, ResourceName, SubAccountType, ConsumedQuantity"
        found = await charges(here, columns, "WHERE ResourceName IN ('Azure', 'Chutes') ORDER BY SkuId")
        assert found == [
            ("OpenRouter", "deepseek/deepseek-r1", "deepseek/deepseek-r1:free", "Chutes", "Workspace", None),
            ("OpenRouter", "openai/gpt-4.1-2025-04-14", "openai/gpt-4.1", "Azure", "Workspace", None),
        ]
        assert {place for (place,) in await charges(here, "DISTINCT SubAccountId")} == set(openrouter.WORKSPACES)

    running(tmp_path, work)


ROW = {
    "date": "2026-11-19", "model": "openai/gpt-4.1", "model_permaslug": "openai/gpt-4.1-2025-04-14",
    "endpoint_id": "550e8400", "provider_name": "OpenAI", "usage": 0.015, "byok_usage_inference": 0.012, "requests": 5,
    "prompt_tokens": 50, "completion_tokens": 125, "reasoning_tokens": 25,
}  # fmt: skip


def test_a_management_key_is_marked_valid_and_another_one_invalid_with_advice() -> None:
    async def main() -> list[tuple[str, bool, str]]:
        server = HttpServer(openrouter.answer)
        url = await server.start()
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                vault = Vault({"openrouter": openrouter.KEY})
                context = WorldContext(client, None, ManualClock(), secrets=vault, credentials=vault)
                step = {"config": {"api_base_url": f"{url}/v1/openrouter"}}
                assert (await validation.get_engine().execute(step, context))["valid"] is True
                vault.secrets["openrouter"] = "sk-or-v1-of-models"
                with pytest.raises(CredentialRejected):
                    await validation.get_engine().execute(step, context)
                return vault.marks
        finally:
            await server.stop()

    good, bad = asyncio.run(main())
    assert good == ("openrouter", True, "")
    assert bad[:2] == ("openrouter", False)
    assert "openrouter/auth/setup" in bad[2]
    assert "of-models" not in bad[2]


def asked(answer: Response, processor: Any, day: date = date(2026, 11, 19)) -> list[Any]:
    """Return the rows that the step yields for one answer."""

    async def main() -> list[Any]:
        server = HttpServer(lambda _: answer)
        url = await server.start()
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                secrets = Vault({"openrouter": openrouter.KEY})
                context = WorldContext(client, None, ManualClock(), secrets=secrets, start_date=day, end_date=day)
                pages = processor.extract({"config": {"api_base_url": url}}, context)
                return [row async for page in pages for row in page]
        finally:
            await server.stop()

    return asyncio.run(main())


def body(*rows: Any) -> Response:
    return Response(200, json.dumps({"data": rows}).encode())


def test_the_documented_example_keeps_its_digits() -> None:
    (cost,) = asked(body(ROW), OpenRouterCostProcessor())
    assert (cost["cost"], cost["currency"], cost["sku_id"]) == (Decimal("0.015"), "USD", ROW["model_permaslug"])
    exact = Response(200, json.dumps({"data": [ROW]}).replace("0.015", "0.0150000000000000001").encode())
    (cost,) = asked(exact, OpenRouterCostProcessor())
    assert cost["cost"] == Decimal("0.0150000000000000001")
    counted = {row["sku"]: row["quantity"] for row in asked(body(ROW), OpenRouterUsageProcessor())}
    assert counted == {
        "input tokens": 50,
        "output tokens": 125,
        "reasoning tokens, part of output": 25,
        "requests": 5,
        BYOK: Decimal("0.012"),
    }
    assert asked(body(), OpenRouterCostProcessor()) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (body({**ROW, "usage": -1}), "which is impossible"),
        (body({**ROW, "usage": None}), "the amount is None"),
        (body({**ROW, "usage": "NaN"}), "the amount is 'NaN'"),
        (body({**ROW, "prompt_tokens": 1.5}), "which is not a count"),
        (body({**ROW, "requests": -5}), "which is not a count"),
        (body({**ROW, "date": "2026-11-18"}), "2026-11-19 was requested, but a row has the date 2026-11-18"),
        (body({**ROW, "date": "yesterday"}), "does not have the documented form"),
        (body({**ROW, "model": 7}), "does not have the documented form"),
        (body({name: value for name, value in ROW.items() if name != "usage"}), "does not have the documented form"),
        (body(ROW, ROW), "openai/gpt-4.1 by OpenAI appears twice on 2026-11-19"),
        (Response(200, b'{"data": null}'), "a NoneType where a list was expected"),
        (Response(200, b'{"rows": []}'), "does not have the documented form"),
        (Response(401, b'{"error": {"code": 401, "message": "No auth"}}'), "Create a management key"),
        (Response(403, b'{"error": {"code": 403, "message": "Only management keys"}}'), "Create a management key"),
    ],
)
def test_wrong_answers_are_refused(answer: Response, said: str) -> None:
    with pytest.raises(StepFailed) as caught:
        asked(answer, OpenRouterCostProcessor())
    assert said in str(caught.value)
    assert isinstance(caught.value, CredentialRejected) == (answer.status in {401, 403})


@pytest.mark.parametrize(
    ("day", "said"), [(date(2026, 11, 21), "is not, run it when it is"), (date(2026, 10, 21), "keeps 30 days")]
)
def test_days_that_it_does_not_have_are_not_empty_days(day: date, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        asked(body(), OpenRouterCostProcessor(), day)
