"""Tokens of Bedrock: the real boto3 against the sandbox and moto's server, and answers that are not whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from convergence.errors import StepFailed
from convergence.processors.cloud.aws.bedrock_usage import BedrockUsage
from convergence.sandbox import aws
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.bills import charges
from tests.unit.processors.installation import installed
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

KEYS = '{"access_key_id": "sandbox", "secret_access_key": "sandbox"}'
FIRST, LAST = date(2026, 11, 18), date(2026, 11, 20)
KINDS = {"Invocations": "requests", "InputTokenCount": "input tokens", "OutputTokenCount": "output tokens"}


def test_tokens_are_counted_beside_the_bill_and_are_no_cost(tmp_path: Path) -> None:
    async def main() -> None:
        async with installed(tmp_path) as here:
            last = here.installation.services.clock.now().date() - timedelta(days=1)
            days = [last - timedelta(days=back) for back in range(3)]
            place = {"aws_url": f"{here.url}/aws", "start_date": str(days[-1]), "end_date": str(days[0])}
            await here.good("aws/auth/setup", api_key=KEYS)
            for _ in range(2):
                await here.good("cloud/aws/usage/bedrock", regions="us-east-1", **place)
            sql = "SELECT model, sku, SUM(quantity) AS n FROM genai_metrics_daily_raw GROUP BY 1, 2"
            found = {(row["model"], row["sku"]): row["n"] for row in await here.rows(sql)}
            assert found == {
                (model, KINDS[metric]): sum(aws.counted(day)[metric, model] for day in days)
                for metric, model in aws.counted(last)
            }
            await here.good("cloud/aws/cost/cost_explorer", **place)
            bill = await charges(here, "COUNT(*), SUM(BilledCost)")
            await here.good("genai/unified/consolidate", start_date=place["start_date"], end_date=place["end_date"])
            assert await charges(here, "COUNT(*), SUM(BilledCost)") == bill
            sql = "SELECT row_kind, SUM(cost) AS cost FROM genai_usage_cost_daily_unified GROUP BY 1"
            assert [(row["row_kind"], row["cost"]) for row in await here.rows(sql)] == [("metric", None)]

    asyncio.run(main())


def extracted(url: str, **fields: Any) -> list[Any]:
    """Return the rows that the step yields."""

    async def main() -> list[Any]:
        given = {"secrets": Vault({"aws": KEYS}), "start_date": FIRST, "end_date": LAST, **fields}
        context = WorldContext(None, None, ManualClock(), **given)
        try:
            pages = BedrockUsage().extract({"config": {"regions": ["us-east-1"], "url": url}}, context)
            return [row async for page in pages for row in page]
        finally:
            await context.aws.close()

    return asyncio.run(main())


def test_the_protocol_is_that_of_moto() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
    client = boto3.client("cloudwatch", endpoint_url=url, region_name="us-east-1", **keys)
    try:
        for day, hour, value in ((18, 0, 5.0), (18, 23, 7.0), (20, 12, 1.0), (21, 0, 100.0)):
            at = datetime(2026, 11, day, hour, tzinfo=UTC)
            one = {"MetricName": "CacheReadInputTokenCount", "Dimensions": [{"Name": "ModelId", "Value": "m"}]}
            client.put_metric_data(Namespace="AWS/Bedrock", MetricData=[{**one, "Timestamp": at, "Value": value}])
        found = {(row["usage_date"], row["sku"]): row["quantity"] for row in extracted(url)}
    finally:
        client.close()
        server.stop()
    assert found == {(FIRST, "cached input tokens"): 12, (LAST, "cached input tokens"): 1}


def failing(change: Callable[[dict[str, Any]], Any]) -> str:
    """Return the message of the step's error when `change` is made to the answers of GetMetricData."""

    def handle(request: Request) -> Response:
        answer = aws.answer(request)
        if not request.headers.get("x-amz-target", "").endswith("GetMetricData"):
            return answer
        body = json.loads(answer.body)
        change(body)
        return Response(200, json.dumps(body).encode())

    async def main() -> str:
        server = HttpServer(handle)
        url = f"{await server.start()}{aws.PATH}"
        try:
            with pytest.raises(StepFailed) as caught:
                await asyncio.to_thread(extracted, url)
            return str(caught.value)
        finally:
            await server.stop()

    return asyncio.run(main())


def _result(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["MetricDataResults"][0].update({name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_result("StatusCode", "InternalError"), "is not complete (InternalError)"),
        (lambda body: body["MetricDataResults"].pop(), "is not complete (missing)"),
        (_result("Values", [1.5]), "which is not a count"),
        (_result("Values", [-1.0]), "which is not a count"),
        (
            _result("Timestamps", [datetime(2026, 11, 1, tzinfo=UTC).timestamp()]),
            "which is not a day that was requested",
        ),
        (_result("Timestamps", [datetime(2026, 11, 18, 5, tzinfo=UTC).timestamp()]), "which is not a day"),
        (_result("Id", "m99"), "which was not requested"),
        (_result("Timestamps", [datetime(2026, 11, 19, tzinfo=UTC).timestamp()]), "appears twice on 2026-11-19"),
        (lambda body: body.update(NextToken="1"), "do not end"),
        (lambda body: body.pop("MetricDataResults"), "answers without MetricDataResults"),
    ],
)
def test_sums_that_are_not_whole_are_not_loaded(change: Any, said: str) -> None:
    assert said in failing(change)


def test_days_whose_models_can_no_longer_be_listed_are_refused() -> None:
    with pytest.raises(StepFailed, match="of days before 2026-11-08 models could be missing"):
        extracted("http://127.0.0.1:9", start_date=date(2026, 11, 7))
