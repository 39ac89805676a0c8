"""Cost Explorer of AWS: the real boto3 against the sandbox, moto's server, and answers that go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from moto.server import ThreadedMotoServer

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.domain.run import Run
from convergence.engine.views import runs as views
from convergence.errors import ConvergenceError, Transient
from convergence.processors.cloud import monthly
from convergence.processors.cloud.aws import cost_explorer
from convergence.processors.cloud.aws.cost_explorer import CostExplorerBills
from convergence.processors.cloud.aws.explorer.kinds import category_of
from convergence.processors.cloud.aws.explorer.query import record_types
from convergence.sandbox import aws
from convergence.sandbox.http import HttpServer, Request, Response
from convergence.tenants.credentials import credential_id_of
from tests.unit.processors.bills import charges, put
from tests.unit.processors.installation import ORG, Here, installed
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

PIPELINE = "cloud/aws/cost/cost_explorer"
KEYS = '{"access_key_id": "sandbox", "secret_access_key": "sandbox"}'
OCTOBER = {"start_date": "2026-10-20", "end_date": "2026-10-20"}


def running(folder: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await here.good("aws/auth/setup", api_key=KEYS)
            await work(here)

    asyncio.run(main())


def billed(first: date, end: date, kind: str = "") -> Decimal:
    """What the sandbox charges, summed up line by line."""
    return sum((one.cost for one in aws.charges(first, end) if kind in {"", one.line.record_type}), Decimal(0))


def test_a_month_adds_up_and_is_replaced(tmp_path: Path) -> None:
    first, end = date(2026, 10, 1), date(2026, 11, 1)

    async def work(here: Here) -> None:
        asked = {"aws_url": f"{here.url}/aws", **OCTOBER}
        for detail in ("linked_account", "usage_type"):
            results = await here.good(PIPELINE, detail=detail, **asked)
            assert Decimal(results["extract_billing"]["billed"]["2026-10"]["USD"]) == billed(first, end)
            columns = "ChargeCategory, COUNT(*), SUM(BilledCost)"
            found = await charges(here, columns, "GROUP BY 1 ORDER BY 1")
            assert found == [
                ("Credit", 31, billed(first, end, "Credit")),
                ("Purchase", 31, billed(first, end, "Recurring reservation fee")),
                ("Tax", 31, billed(first, end, "Tax")),
                ("Usage", 155, billed(first, end, "Usage")),
            ]
            effective = sum((one.amortised for one in aws.charges(first, end)), Decimal(0))
            assert await charges(here, "SUM(EffectiveCost)") == [(effective,)]
        names = "ServiceCategory, ConsumedUnit, PricingCategory, ListCost, x_DatasetChanges, x_SourceColumns"
        lambdas = await charges(
            here, names, "WHERE ServiceName = 'AWS Lambda' AND DATE(ChargePeriodStart) = '2026-10-02'"
        )
        unknown = "ListCost: the source does not say it; ContractedCost: the source does not say it"
        kept = '{"x_Estimated":false,"x_UsageType":"Lambda-GB-Second"}'
        assert lambdas == [("Compute", "Second", None, None, unknown, kept)]
        committed = await charges(here, "DISTINCT ServiceName", "WHERE PricingCategory = 'Committed'")
        assert committed == [("Amazon Relational Database Service",)]
        assert await charges(here, "DISTINCT BillingAccountId") == [(aws.ACCOUNT,)]

    running(tmp_path, work)


@pytest.mark.parametrize(
    ("service", "category"),
    [
        ("Amazon Bedrock", "AI and Machine Learning"),
        ("Claude 3.5 Sonnet (Amazon Bedrock Edition)", "AI and Machine Learning"),
        ("Command R+ (Amazon Bedrock Edition)", "AI and Machine Learning"),
        ("Claude (Amazon Bedrock Edition) Training", None),
        ("Example of a seller", None),
    ],
)
def test_models_of_others_on_bedrock_are_ai(service: str, category: str | None) -> None:
    assert category_of(service) == category


def test_where_time_is_up_it_goes_on_behind_a_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[date] = []

    async def counted(api: Any, month: date, end: date) -> Any:
        begun.append(month)
        return await record_types(api, month, end)

    monkeypatch.setattr(cost_explorer, "record_types", counted)
    monkeypatch.setattr(monthly, "SLICE_S", 0.0)

    async def work(here: Here) -> None:
        span = {"start_date": "2026-08-20", "end_date": "2026-10-02", "aws_url": f"{here.url}/aws"}
        run = await here.run(PIPELINE, detail="usage_type", **span)
        step = (await views.results(here.installation.services, ORG, run.run_id))["extract_billing"]
        assert {name: Decimal(cost["USD"]) for name, cost in step["billed"].items()} == {
            "2026-08": billed(date(2026, 8, 1), date(2026, 9, 1)),
            "2026-09": billed(date(2026, 9, 1), date(2026, 10, 1)),
            "2026-10": billed(date(2026, 10, 1), date(2026, 11, 1)),
        }
        assert begun == [date(2026, month, 1) for month in (8, 9, 10)], "each month once, in slices of their own"
        stored = await here.rows("SELECT COUNT(*) AS n FROM cloud_aws_billing_raw_daily")
        assert step["rows_processed"] == step["rows_written"] == stored[0]["n"] > 0

    running(tmp_path, work)


def test_a_slice_ends_behind_a_month_that_is_loaded() -> None:
    async def load(month: date, end: date) -> monthly.Loaded:
        clock.at += timedelta(seconds=40)
        return monthly.Loaded(2, 2, {"USD": Decimal((end - month).days)})

    clock = ManualClock()
    clock.at = datetime(2026, 11, 21, tzinfo=UTC)
    context = WorldContext(None, None, clock, start_date=date(2026, 8, 20), end_date=date(2026, 12, 1))
    first = asyncio.run(monthly.load_months(context, "t", load))
    assert (first["status"], first["checkpoint"]["months"]) == ("CONTINUE", 2)
    context.checkpoint = json.loads(json.dumps(first["checkpoint"]))
    second = asyncio.run(monthly.load_months(context, "t", load))
    assert (second["status"], second["checkpoint"]["months"]) == ("CONTINUE", 4)
    context.checkpoint = json.loads(json.dumps(second["checkpoint"]))
    last = asyncio.run(monthly.load_months(context, "t", load))
    assert (last["status"], last["rows_processed"], list(last["billed"].values())) == (
        "SUCCESS",
        8,
        [{"USD": "31"}, {"USD": "30"}, {"USD": "31"}, {"USD": "20"}],
    )
    assert last["warnings"] == ["2026-12 has no day that is over (UTC): not asked for"]


def test_the_days_of_an_open_month_are_estimates_and_the_month_before_is_read_again(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        asked = {"aws_url": f"{here.url}/aws", "start_date": "2026-10-26", "end_date": "2026-11-05"}
        results = await here.good(PIPELINE, **asked)
        assert set(results["extract_billing"]["billed"]) == {"2026-10", "2026-11"}
        today = here.installation.services.clock.now().date()
        end = min(today, date(2026, 12, 1))
        estimated = "JSON_VALUE(x_SourceColumns, '$.x_Estimated')"
        found = await charges(
            here, f"{estimated}, MIN(DATE(ChargePeriodStart)), SUM(BilledCost)", "GROUP BY 1 ORDER BY 1"
        )
        assert found == [
            ("false", date(2026, 10, 1), billed(date(2026, 10, 1), date(2026, 11, 1))),
            ("true", date(2026, 11, 1), billed(date(2026, 11, 1), end)),
        ]

    running(tmp_path, work)


def test_a_month_counts_from_an_export_or_from_cost_explorer(tmp_path: Path) -> None:
    """The export names the payer and, as a member of it, the account that Cost Explorer was asked by."""

    async def work(here: Here) -> None:
        await here.good(PIPELINE, aws_url=f"{here.url}/aws", **OCTOBER)
        before = await charges(here, "COUNT(*), SUM(BilledCost)")
        export = {"place": "https", "bucket": "bills", "path": "p/", "files_url": f"{here.url}/mine/%Y-%m.csv"}
        for payer, member, said in (
            ("999999999999", aws.ACCOUNT, "an export and Cost Explorer of one account"),
            (aws.ACCOUNT, "111122223333", "two exports of one account"),
        ):
            here.sandbox.answer = partial(_answer_export, payer, member)  # type: ignore[method-assign]  # of this one sandbox
            run = await here.run("cloud/aws/cost/billing", **export, start_date="2026-10-20", end_date="2026-10-20")
            assert f"{said} would count twice" in (run.error or {})["message"]
            assert await charges(here, "COUNT(*), SUM(BilledCost)") == before

    running(tmp_path, work)


PAYER, MEMBER, OTHER = "111111111111", "222222222222", "333333333333"


def organisation(request: Request) -> Response:
    """AWS for three credentials: a payer with a member of its own, the member itself, and an account beside them.

    Each has a charge on the second of October: 8 of the payer, 4 of its member, 1 of the other account.
    """
    key = request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
    if parse_qs(request.body.decode("latin-1")).get("Action") == ["GetCallerIdentity"]:
        own = {"payer": PAYER, "member": MEMBER, "other": OTHER}[key]
        said = aws.answer(request._replace(headers={"authorization": "Credential=sandbox/"}))
        return Response(200, said.body.replace(aws.ACCOUNT.encode(), own.encode()), content_type="text/xml")
    costs = {"payer": {PAYER: 8, MEMBER: 4}, "member": {MEMBER: 4}, "other": {OTHER: 1}}[key]
    asked = [one["Key"] for one in json.loads(request.body)["GroupBy"]]
    values = {"RECORD_TYPE": "Usage", "SERVICE": "Amazon S3", "USAGE_TYPE": "Bytes"}
    sums: dict[tuple[str, ...], int] = {}
    for account, cost in costs.items():
        keys = tuple({**values, "LINKED_ACCOUNT": account}[name] for name in asked)
        sums[keys] = sums.get(keys, 0) + cost
    amounts = [
        (keys, {name: {"Amount": str(cost), "Unit": "USD"} for name in ("UnblendedCost", "AmortizedCost")})
        for keys, cost in sums.items()
    ]
    groups = [
        {"Keys": keys, "Metrics": {**found, "UsageQuantity": {"Amount": "1", "Unit": "GB"}}} for keys, found in amounts
    ]
    period = {"Start": "2026-10-02", "End": "2026-10-03"}
    body = {"ResultsByTime": [{"TimePeriod": period, "Groups": groups, "Estimated": False}]}
    return Response(200, json.dumps(body).encode(), content_type="application/x-amz-json-1.1")


@pytest.mark.parametrize(
    ("asked", "said", "cost"),
    [
        ((("payer", "linked_account"), ("member", "usage_type")), f"of {PAYER} and of its member {MEMBER}, period", 12),
        ((("member", "linked_account"), ("payer", "linked_account")), f"of {PAYER} and of its member {MEMBER}", 4),
        ((("payer", "usage_type"), ("member", "usage_type")), f"of {PAYER}, a payer by usage type, and {MEMBER}", 12),
        ((("payer", "usage_type"), ("other", "usage_type")), f"of {PAYER}, a payer by usage type, and {OTHER}", 12),
        ((("payer", "linked_account"), ("other", "usage_type")), "", 13),
        ((("member", "usage_type"), ("other", "usage_type")), "", 5),
    ],
)
def test_a_payer_and_its_member_are_not_counted_twice(
    tmp_path: Path, asked: tuple[tuple[str, str], tuple[str, str]], said: str, cost: int
) -> None:
    async def main() -> None:
        server = HttpServer(organisation)
        url = await server.start()
        try:
            async with installed(tmp_path) as here:
                for name, _ in asked:
                    key = json.dumps({"access_key_id": name, "secret_access_key": "s"})
                    await here.good("aws/auth/setup", api_key=key, credential_name=name)
                for number, (name, detail) in enumerate(asked):
                    own = credential_id_of(ORG, "aws", name)
                    run = await here.run(PIPELINE, aws_url=url, detail=detail, credential_id=own, **OCTOBER)
                    assert (run.status == "completed") == (not number or not said), run.error
                assert said in str(run.error)
                assert await charges(here, "SUM(BilledCost)") == [(cost,)]
        finally:
            await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("first", "second"), [("export", "file"), ("file", "export"), ("file", "explorer"), ("explorer", "file")]
)
def test_one_bill_that_two_pipelines_load_counts_once(tmp_path: Path, first: str, second: str) -> None:
    """The same file, in a bucket and imported; and a member's Cost Explorer beside a file of the payer."""
    days = {"start_date": "2026-10-20", "end_date": "2026-10-20"}
    payer, member = "999999999999", aws.ACCOUNT
    put(tmp_path, "f/bill.csv", _export(payer, member).body)

    async def work(here: Here) -> None:
        async def export() -> Run:
            here.sandbox.answer = partial(_answer_export, payer, member)  # type: ignore[method-assign]  # of this one sandbox
            place = {"place": "https", "bucket": "bills", "path": "p/", "files_url": f"{here.url}/mine/%Y-%m.csv"}
            return await here.run("cloud/aws/cost/billing", **place, **days)

        async def file() -> Run:
            return await here.run("focus/import", path="f/", **days)

        async def explorer() -> Run:
            return await here.run(PIPELINE, aws_url=f"{here.url}/aws", **days)

        pipelines = {"export": export, "file": file, "explorer": explorer}
        assert (await pipelines[first]()).status == "completed"
        before = await charges(here, "x_SourceTable, SUM(BilledCost)", "GROUP BY 1")
        assert before[0][1] == (billed(date(2026, 10, 1), date(2026, 11, 1)) if first == "explorer" else 1)
        message = ((await pipelines[second]()).error or {})["message"]
        account = member if second == "explorer" else payer
        assert f"loaded twice and would count twice: account {account}, period 2026-10-01" in message
        assert f"whose charges of {before[0][0]} are visible already; nothing was published" in message
        assert (await pipelines[first]()).status == "completed", "what was there first goes on"
        assert await charges(here, "x_SourceTable, SUM(BilledCost)", "GROUP BY 1") == before

    running(tmp_path, work)


def _answer_export(payer: str, member: str, request: Request) -> Response:
    return _export(payer, member)


def _export(payer: str, member: str) -> Response:
    period = "2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,2026-10-03T00:00:00Z,2026-10-04T00:00:00Z"
    text = (
        "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingAccountId,SubAccountId,BillingCurrency,BillingPeriodStart,"
        "BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ProviderName,ServiceName,ServiceCategory\n"
        f"1,1,1,1,{payer},{member},USD,{period},Usage,AWS,Amazon EC2,Compute\n"
    )
    written = {"last-modified": "Sat, 21 Nov 2026 09:00:00 GMT"}
    return Response(200, text.encode(), written, content_type="text/csv")


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
        (_circle, "goes in a circle"),
        (_other_day, "which is not one of the days that were asked"),
        (_no_results, "answers without ResultsByTime"),
        (_refusal("AccessDeniedException"), "refuses the credential (AccessDeniedException)"),
        (_refusal("ExpiredTokenException"), "refuses the credential (ExpiredTokenException)"),
        (_refusal("InvalidSignatureException", "Signature expired: 20261129T"), "the clock of this machine is wrong"),
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
