"""AWS: exports in a bucket (the real boto3, moto's server) to FOCUS charges, from the real sample files."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from convergence.errors import ConfigErrors
from tests.unit.processors.bills import FILES, charges, raw, read, total, with_address
from tests.unit.processors.focus_exports import plain_name
from tests.unit.processors.installation import Here, installed

KEYS = json.dumps({"access_key_id": "AKIATEST", "secret_access_key": "secret"})


class Bucket:
    """A bucket `bills` and its deliveries."""

    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=url, **keys)
        self.client.create_bucket(Bucket="bills")

    def export(self, month: str, run: str, parts: Sequence[bytes], said: int | None = None) -> None:
        """Deliver a Data Export; the manifest may list more parts than there are."""
        names = [f"p/focus/data/BILLING_PERIOD={month}/{run}-{number}.csv.gz" for number in range(said or len(parts))]
        for name, data in zip(names, parts, strict=False):
            self.client.put_object(Bucket="bills", Key=name, Body=gzip.compress(data))
        manifest = {"executionId": run, "dataFiles": [f"s3://bills/{name}" for name in names]}
        key = f"p/focus/metadata/BILLING_PERIOD={month}/focus-Manifest.json"
        self.client.put_object(Bucket="bills", Key=key, Body=json.dumps(manifest).encode())

    def report(self, period: str, data: bytes) -> None:
        """Deliver a Cost and Usage Report."""
        key = f"p/cur/{period}/assembly-1/cur-00001.csv.gz"
        self.client.put_object(Bucket="bills", Key=key, Body=gzip.compress(data))
        manifest = json.dumps({"assemblyId": "assembly-1", "reportKeys": [key]}).encode()
        self.client.put_object(Bucket="bills", Key=f"p/cur/{period}/cur-Manifest.json", Body=manifest)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[tuple[Path, Bucket]]:
    """The configs of an installation for which AWS is moto's server, and a bucket there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    configs = with_address(tmp_path, "AWS", url)
    bucket = Bucket(url)
    yield configs, bucket
    bucket.client.close()
    server.stop()


def running(tmp_path: Path, configs: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.good("aws/auth/setup", api_key=KEYS)
            await work(here)

    asyncio.run(main())


def focus_rows() -> tuple[bytes, list[bytes]]:
    """Return header and lines of AWS in the sample; no line has a quoted newline."""
    head, *lines = (FILES / "focus_1.0_sample_1000.csv").read_bytes().splitlines(keepends=True)
    return head, [line for line in lines if b'"AWS"' in line]


def test_a_focus_export_in_parts(tmp_path: Path, aws: tuple[Path, Bucket]) -> None:
    configs, bucket = aws
    head, lines = focus_rows()
    september = [row for row in read("focus_1.0_sample_1000.csv") if row["ProviderName"] == "AWS"]
    asked = {"bucket": "bills", "path": "p/focus/", "start_date": "2024-09-10", "end_date": "2024-09-11"}

    async def work(here: Here) -> None:
        bucket.export("2024-09", "run-1", [head + b"".join(lines[:500]), head + b"".join(lines[500:])])
        await here.good("aws/auth/validate", bucket="bills", path="p/focus/")
        for _ in range(2):
            results = await here.good("cloud/aws/cost/billing", **asked)
            assert results["extract_billing"]["deliveries"] == ["2024-09-01 run-1"]
            gate = results["validate_focus"]
            assert (gate["rows_processed"], gate["rows_written"], gate["focus"]["verdict"]) == (942, 942, "warned")
            assert gate["focus"]["waived"] == []
            [found] = await charges(here, "COUNT(*), SUM(BilledCost), SUM(EffectiveCost), COUNT(DISTINCT x_ChargeId)")
            sums = [total(september, name) for name in ("BilledCost", "EffectiveCost")]
            assert list(found) == [942, *sums, 942]
        # A part of the next delivery does not exist: nothing changes. Then the delivery is whole.
        bucket.export("2024-09", "run-2", [head + b"".join(lines[:300])], said=2)
        run = await here.run("cloud/aws/cost/billing", **asked)
        assert "run-2-1.csv.gz does not exist" in (run.error or {})["message"]
        assert await charges(here, "COUNT(*)") == [(942,)]
        bucket.export("2024-09", "run-2", [head + b"".join(lines[:300])])
        await here.good("cloud/aws/cost/billing", allow_shrink=True, **asked)
        assert await charges(here, "COUNT(*)") == [(300,)]
        await here.good("cloud/aws/cost/focus_convert", start_date="2024-09-01", end_date="2024-09-01")
        assert await charges(here, "COUNT(*)") == [(300,)]
        for _ in range(2):  # an export replaces the files of the one before
            exported = await here.good(
                "focus/export",
                to_url="s3://bills/out/focus?region=us-east-1",
                start_date="2024-09-01",
                end_date="2024-09-01",
            )
        assert exported["store_files"]["periods"] == ["s3://bills/out/focus/1.4/2024-09"]
        listed = bucket.client.list_objects_v2(Bucket="bills", Prefix="out/")["Contents"]
        contents = {each["Key"]: bucket.client.get_object(Bucket="bills", Key=each["Key"]) for each in listed}
        whole = {key: answer["Body"].read() for key, answer in contents.items()}
        files = {plain_name(key, data).removeprefix("out/focus/1.4/2024-09/"): data for key, data in whole.items()}
        assert (sorted(files), len(whole)) == (["CostAndUsage.parquet", "manifest.json"], 2)
        facts = json.loads(files["manifest.json"])["datasets"]["CostAndUsage"]
        [(billed,)] = await charges(here, "SUM(BilledCost)")
        assert (facts["rows"], Decimal(facts["sums"]["USD"]["BilledCost"])) == (300, billed)
        assert facts["sha256"] == hashlib.sha256(files["CostAndUsage.parquet"]).hexdigest()
        with pytest.raises(ConfigErrors, match="'ftp://bills/out' is not an address of a bucket"):
            await here.run("focus/export", to_url="ftp://bills/out", start_date="2024-09-01", end_date="2024-09-01")

    running(tmp_path, configs, work)


def test_a_cost_and_usage_report(tmp_path: Path, aws: tuple[Path, Bucket]) -> None:
    """1,269 lines of usage and 12 of tax, costs like 1.81E-8."""
    configs, bucket = aws
    report = read("cur_legacy_anonymous.csv")

    async def work(here: Here) -> None:
        bucket.report("20231101-20231201", raw("cur_legacy_anonymous.csv"))
        asked = {"bucket": "bills", "path": "p/cur/", "export": "cur_legacy"}
        await here.good("cloud/aws/cost/billing", start_date="2023-11-05", end_date="2023-11-05", **asked)
        found = await charges(here, "ChargeCategory, COUNT(*), SUM(BilledCost)", "GROUP BY 1 ORDER BY 1")
        tax = [row for row in report if row["lineItem/LineItemType"] == "Tax"]
        usage = [row for row in report if row["lineItem/LineItemType"] == "Usage"]
        cost = "lineItem/UnblendedCost"
        assert found == [("Tax", 12, total(tax, cost)), ("Usage", 1269, total(usage, cost))]
        [(listed, unknown)] = await charges(here, "SUM(ListCost), COUNTIF(ContractedCost IS NULL)")
        assert (listed, unknown) == (total(report, "pricing/publicOnDemandCost"), 1281)
        quantities = await charges(
            here, "SUM(PricingQuantity), COUNTIF(PricingQuantity IS NULL)", "WHERE ChargeCategory = 'Usage'"
        )
        assert quantities == [(total(usage, "lineItem/UsageAmount"), 0)]
        assert await charges(here, "COUNT(PricingQuantity), COUNT(PricingUnit)", "WHERE ChargeCategory = 'Tax'") == [
            (0, 0)
        ]
        results = await here.rows("SELECT rule_id FROM org_meta_focus_results WHERE status = 'waived' ORDER BY rule_id")
        unknown_costs = [f"CAU-{name}-C-00{number}-M" for name in ("ContractedCost", "ListCost") for number in (3, 4)]
        assert [row["rule_id"] for row in results] == unknown_costs
        names = await charges(here, "ServiceName, ServiceCategory", "WHERE ServiceName LIKE '%Simple Storage%' LIMIT 1")
        assert names == [("Amazon Simple Storage Service", "Storage")]

    running(tmp_path, configs, work)


CUR_2 = (
    "bill_payer_account_id,bill_billing_period_start_date,bill_billing_period_end_date,line_item_usage_start_date,"
    "line_item_usage_end_date,line_item_line_item_type,line_item_unblended_cost,line_item_currency_code,"
    "line_item_product_code,reservation_reservation_a_r_n,reservation_effective_cost,"
    "reservation_unused_amortized_upfront_fee_for_billing_period,reservation_unused_recurring_fee,"
    "savings_plan_savings_plan_a_r_n,savings_plan_savings_plan_effective_cost,savings_plan_total_commitment_to_date,"
    "savings_plan_used_commitment,resource_tags\n"
)
# kind of line, unblended cost, ARN and costs of a reservation, of a savings plan → effective cost
LINES: Sequence[tuple[str, str, str, str, str]] = (
    ("Usage", "1", ",,,", ",,,", "1"),
    ("DiscountedUsage", "0", "arn:ri,0.4,,", ",,,", "0.4"),
    ("RIFee", "10", "arn:ri,,0.5,0.25", ",,,", "0.75"),
    ("Fee", "100", "arn:ri,,,", ",,,", "0"),
    ("SavingsPlanCoveredUsage", "2", ",,,", "arn:sp,1.5,,", "1.5"),
    ("SavingsPlanNegation", "-2", ",,,", "arn:sp,,,", "0"),
    ("SavingsPlanRecurringFee", "3", ",,,", "arn:sp,,3,1.5", "1.5"),
    ("Credit", "-0.5", ",,,", ",,,", "-0.5"),
)


def test_cur_2_amortises_commitments_as_aws_does(tmp_path: Path, aws: tuple[Path, Bucket]) -> None:
    configs, bucket = aws
    times = "2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,2026-01-05T00:00:00Z,2026-01-06T00:00:00Z"
    lines = [f"1,{times},{kind},{cost},USD,AmazonEC2,{ri},{plan},\n" for kind, cost, ri, plan, _ in LINES]

    async def work(here: Here) -> None:
        bucket.export("2026-01", "run-1", ["".join([CUR_2, *lines]).encode()])
        asked = {"bucket": "bills", "path": "p/focus/", "export": "cur_2"}
        await here.good("cloud/aws/cost/billing", start_date="2026-01-05", end_date="2026-01-05", **asked)
        # A credit has no price: its list and contracted costs are what is billed. Others are not known.
        costs = await charges(here, "x_ChargeKind, ListCost, ContractedCost", "WHERE ListCost IS NOT NULL")
        assert costs == [("Credit", Decimal("-0.5"), Decimal("-0.5"))]
        found = await charges(here, "x_ChargeKind, BilledCost, EffectiveCost")
        assert sorted(found) == sorted((kind, Decimal(cost), Decimal(said)) for kind, cost, _, _, said in LINES)

    running(tmp_path, configs, work)


def test_models_of_others_on_bedrock_are_called_as_in_cost_explorer(tmp_path: Path, aws: tuple[Path, Bucket]) -> None:
    """AWS Marketplace sells them: the code is that of a listing, and CUR 2.0 has the name in a map."""
    configs, bucket = aws
    edition = "Claude 3.5 Sonnet (Amazon Bedrock Edition)"
    times = "2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,2026-01-05T00:00:00Z,2026-01-06T00:00:00Z"
    head = (
        "bill_payer_account_id,bill_billing_period_start_date,bill_billing_period_end_date,line_item_usage_start_date,"
        "line_item_usage_end_date,line_item_line_item_type,line_item_unblended_cost,line_item_currency_code,"
        "line_item_product_code,product\n"
    )
    named = json.dumps({"product_name": edition, "region": "us-west-2"}).replace('"', '""')
    lines = [
        f'1,{times},Usage,3,USD,5cvcdf93jas91ohj9a3i0yzl,"{named}"\n',
        f'1,{times},Usage,2,USD,AmazonBedrock,"{{}}"\n',
        f"1,{times},Usage,1,USD,AmazonEC2,not JSON\n",
    ]

    async def work(here: Here) -> None:
        bucket.export("2026-01", "run-1", ["".join([head, *lines]).encode()])
        asked = {"bucket": "bills", "path": "p/focus/", "export": "cur_2"}
        await here.good("cloud/aws/cost/billing", start_date="2026-01-05", end_date="2026-01-05", **asked)
        assert await charges(here, "ServiceName, ServiceCategory, BilledCost", "ORDER BY BilledCost DESC") == [
            (edition, "AI and Machine Learning", Decimal(3)),
            ("AmazonBedrock", "AI and Machine Learning", Decimal(2)),
            ("AmazonEC2", "Compute", Decimal(1)),
        ]

    running(tmp_path, configs, work)
