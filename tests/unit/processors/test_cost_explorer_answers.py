"""Answers of Cost Explorer that are wrong, and its protocol as moto speaks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import ConvergenceError, Transient
from convergence.processors.cloud.aws.cost_explorer import CostExplorerBills
from convergence.sandbox import aws
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.bills import charges
from tests.unit.processors.cost_explorer_world import KEYS, OCTOBER, PIPELINE, running
from tests.unit.processors.installation import Here
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext


def changed(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Callable[[Request], Response]:
    """Return a handler that changes what the sandbox says to GetCostAndUsage, given question and answer."""

    def handle(request: Request) -> Response:
        said = aws.answer(request)
        if b"TimePeriod" not in request.body:
            return said
        body = json.loads(said.body)
        found = change(json.loads(request.body), body)
        return found if isinstance(found, Response) else Response(200, json.dumps(body).encode())

    return handle


def _amount(text: Any) -> Callable[..., Any]:
    def change(_: Any, body: dict[str, Any]) -> None:
        body["ResultsByTime"][0]["Groups"][0]["Metrics"]["UnblendedCost"]["Amount"] = text

    return change


def _unit(text: str) -> Callable[..., Any]:
    def change(asked: Any, body: dict[str, Any]) -> None:
        if "Filter" in asked:
            body["ResultsByTime"][0]["Groups"][0]["Metrics"]["UnblendedCost"]["Unit"] = text

    return change


def _lost(asked: dict[str, Any], body: dict[str, Any]) -> None:
    if "Filter" in asked:
        body.pop("NextPageToken", None)  # the pages behind the first one


def _circle(_: Any, body: dict[str, Any]) -> None:
    body["NextPageToken"] = "20"


def _other_day(_: Any, body: dict[str, Any]) -> None:
    body["ResultsByTime"][0]["TimePeriod"] = {"Start": "2026-09-30", "End": "2026-10-01"}


def _no_results(_: Any, body: dict[str, Any]) -> None:
    del body["ResultsByTime"]


def _refusal(code: str, message: str = "no", status: int = 400) -> Callable[..., Response]:
    return lambda *_: aws.error(code, message, status)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_amount("NaN"), "UnblendedCost is not an amount: 'NaN'"),
        (_amount("1,000.00"), "UnblendedCost is not an amount: '1,000.00'"),
        (_amount("Infinity"), "UnblendedCost is not an amount"),
        (_unit("XXX"), "is billed in 'XXX'"),
        (_unit("EUR"), "(currencies: USD); nothing was loaded"),
        (_lost, "its groups"),
        (_circle, "repeats its pages"),
        (_other_day, "which is not one of the requested days"),
        (_no_results, "answers without ResultsByTime"),
        (_refusal("AccessDeniedException"), "refuses the credential (AccessDeniedException)"),
        (_refusal("ExpiredTokenException"), "refuses the credential (ExpiredTokenException)"),
        (_refusal("InvalidSignatureException", "Signature expired: 20261129T"), "correct the clock of this machine"),
        (_refusal("LimitExceededException"), "is busy (LimitExceededException)"),
        (
            _refusal("DataUnavailableException", "Data is not available."),
            "refuses the request (DataUnavailableException)",
        ),
        (_refusal("InternalFailure", status=500), "is busy (InternalFailure)"),
    ],
)
def test_wrong_answers_load_nothing(tmp_path: Path, change: Any, said: str) -> None:
    async def main() -> None:
        server, clock = HttpServer(changed(change)), ManualClock()
        url = await server.start()
        warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", clock=clock)
        config = {"url": f"{url}{aws.PATH}", "currencies": ["USD"]}
        days = {"start_date": date(2026, 10, 20), "end_date": date(2026, 10, 20)}
        context = WorldContext(None, warehouse, clock, provider="aws", secrets=Vault({"aws": KEYS}), **days)
        try:
            with pytest.raises(ConvergenceError) as caught:
                await CostExplorerBills().execute({"config": config}, context)
            assert said in str(caught.value)
            assert isinstance(caught.value, Transient) == said.startswith(("is busy", "its groups"))
            assert await warehouse.columns("acme_test", "cloud_aws_billing_raw_daily") == ()
        finally:
            await context.aws.close()
            warehouse.close()
            await server.stop()

    asyncio.run(main())


def test_the_protocol_is_that_of_moto(tmp_path: Path) -> None:
    """moto's server plays STS and Cost Explorer; a role is assumed with keys and an external id."""
    group = {"Keys": ["Amazon Elastic Compute Cloud - Compute", "BoxUsage"], "Metrics": {
        "UnblendedCost": {"Amount": "1.5", "Unit": "USD"}, "AmortizedCost": {"Amount": "1.25", "Unit": "USD"},
        "UsageQuantity": {"Amount": "24", "Unit": "Hrs"}}}  # fmt: skip
    kinds = {**group, "Keys": ["Usage", "123456789012"]}
    period = {"Start": "2026-10-03", "End": "2026-10-04"}
    answers = [
        {"ResultsByTime": [{"TimePeriod": period, "Total": {}, "Groups": [found], "Estimated": False}]}
        for found in (kinds, group)
    ]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.post(f"{url}/moto-api/static/ce/cost-and-usage-results", json={"results": answers}).raise_for_status()
    role = {"role_arn": "arn:aws:iam::123456789012:role/bills", "external_id": "chosen"}

    async def work(here: Here) -> None:
        await here.good("aws/auth/setup", api_key=json.dumps({**json.loads(KEYS), **role}))
        await here.good(PIPELINE, aws_url=url, **OCTOBER)
        columns = "BillingAccountId, BilledCost, EffectiveCost, ConsumedQuantity, DATE(ChargePeriodStart)"
        assert await charges(here, columns) == [
            ("123456789012", Decimal("1.5"), Decimal("1.25"), Decimal(24), date(2026, 10, 3))
        ]

    try:
        running(tmp_path, work)
    finally:
        server.stop()
