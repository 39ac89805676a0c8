"""Cost Explorer of AWS: the real boto3 against the sandbox, moto's server, and answers that go wrong."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from convergence.domain.run import Run
from convergence.engine.views import runs as views
from convergence.processors.cloud import monthly
from convergence.processors.cloud.aws import cost_explorer
from convergence.processors.cloud.aws.explorer.kinds import category_of
from convergence.processors.cloud.aws.explorer.query import record_types
from convergence.sandbox import aws
from convergence.sandbox.http import HttpServer, Request, Response
from convergence.tenants.credentials import credential_id_of
from tests.unit.processors.bills import charges, put
from tests.unit.processors.cost_explorer_world import OCTOBER, PIPELINE, billed, running
from tests.unit.processors.installation import ORG, Here, installed
from tests.unit.processors.step_world import ManualClock, WorldContext


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
    assert last["warnings"] == ["2026-12 has no day that is over (UTC): not requested"]


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
