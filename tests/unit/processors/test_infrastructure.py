"""GPU hours from the bills of clouds: names of machines and GPUs, hours and cost, end to end."""

from __future__ import annotations

import asyncio
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.genai.infrastructure_usage import SEED, gpu_names, pattern, usage_row
from tests.unit.processors.bills import put
from tests.unit.processors.installation import CONFIGS, days, installed

KNOWN = gpu_names((CONFIGS / SEED).read_text("utf-8"))
PIPELINE = "genai/infrastructure/infrastructure_cost"
DAY = date(2026, 11, 12)
HEAD = (
    "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingAccountId,BillingCurrency,BillingPeriodStart,"
    "BillingPeriodEnd,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceProviderName,ServiceName,ServiceCategory,"
    "InvoiceIssuerName,ConsumedQuantity,ConsumedUnit,PricingQuantity,PricingUnit,SkuMeter,ChargeDescription,ResourceId,CommitmentDiscountId,"
    "CommitmentDiscountCategory,CommitmentDiscountType,CommitmentDiscountStatus\n"
)


def line(cost: str, hours: str, unit: str, meter: str, **more: str) -> str:
    status, category = more.get("status", ""), more.get("category", "Usage")
    resource, words = more.get("resource", "i-1"), more.get("words", "Compute")
    service = more.get("service", "Amazon Elastic Compute Cloud")
    quantity = f",,{hours},{unit}" if status == "Unused" else f"{hours},{unit},,"
    commitment = f"sp-1,Spend,Savings Plan,{status}" if status else ",,,"
    return (
        f"{cost},{cost},{cost},{cost},acc,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,{category},{DAY}T00:00:00Z,"
        f"2026-11-13T00:00:00Z,AWS,{service},Compute,AWS,{quantity},{meter},{words},{resource},"
        f"{commitment}\n"
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("use1-boxusage:p4d.24xlarge", "p4d.24xlarge"),
        ("ml.g5.xlarge-hosting", "g5.xlarge"),
        ("g5.xlargeish", None),
        ("xg5.xlarge", None),
        ("standard nc6s v3", "nc6s v3"),
        ("nc24ads a100 v4 spot", "nc24ads a100 v4"),
        ("nvidia tesla a100 80gb gpu running in americas", "nvidia tesla a100 80gb gpu"),
        ("a2 instance core running in americas", None),
    ],
)
def test_a_name_is_found_as_a_word(words: str, name: str | None) -> None:
    found = re.search(pattern(KNOWN), words)
    assert (found and found[1]) == name


@pytest.mark.parametrize(
    "bad", ["aws,G5,A10G,1,x", "aws,g5,A10G,one,x", "aws,,A10G,1,x", "aws,g5,,1,x", "aws,g5,A,1,x\naws,g5,A,1,x"]
)
def test_a_list_of_gpus_is_refused_by_line(bad: str) -> None:
    with pytest.raises(StepFailed, match=r"gpu_names.csv:\d"):
        gpu_names(f"cloud,name,gpu_model,gpus,source\n{bad}\n")


@pytest.mark.parametrize(
    ("unit", "quantity", "hours"),
    [
        ("Hrs", "3", 3),
        ("Seconds", "5400", Decimal("1.5")),
        ("100 Hours", "3", None),
        (None, "3", None),
        ("Hours", None, None),
    ],
)
def test_hours_are_of_units_of_time_and_nothing_is_guessed(unit: str | None, quantity: str | None, hours: Any) -> None:
    row = {"name": "p4d.24xlarge", "unit": unit, "quantity": None if quantity is None else Decimal(quantity),
           "uncounted": int(quantity is None), "unlisted": 0, "list_cost": Decimal(1)}  # fmt: skip
    found = usage_row(row, DAY, KNOWN)
    assert (found["hours"], found["gpu_hours"]) == (hours, None if hours is None else hours * 8)


def test_gpu_hours_are_those_of_the_bill_that_counts(tmp_path: Path) -> None:
    text = HEAD + "".join(
        (
            line("65.5", "2", "Hours", "BoxUsage:p4d.24xlarge"),
            line("32.75", "3600", "Seconds", "BoxUsage:p4d.24xlarge", status="Used"),
            line("10", "1", "Hours", "BoxUsage:p4d.24xlarge", status="Unused", resource="sp-1"),
            line("9", "3", "Hours", "BoxUsage:g5.xlarge", words="Standard_NC6s_v3 is no machine of AWS"),
            line("1", "24", "Hours", "EBSOptimized:p3.2xlarge"),
            line("4", "5", "GB", "DataTransfer:p3.2xlarge", resource="i-2"),
            line("4", "5", "100 Hours", "NC6s v3", resource="i-3"),
            line("99", "24", "Hours", "BoxUsage:t3.medium"),
            line("500", "1", "Hours", "HeavyUsage:p4d.24xlarge", category="Purchase"),
        )
    )

    async def main() -> None:
        async with installed(tmp_path) as here:
            put(tmp_path, "f/bill.csv", text.encode())
            await here.good("focus/import", path="f/", **days(DAY, DAY))
            for _ in range(2):
                results = await here.good(PIPELINE, **days(DAY, DAY))
            assert results["consolidate_usage"]["warnings"] == [
                "GPU hours are not known of charges whose unit is 100 Hours"
            ]
            rows = await here.rows(
                "SELECT gpu_model AS gpu, is_unused AS u, gpu_hours AS h, effective_cost AS c, cost_per_gpu_hour AS p"
                " FROM genai_infrastructure_costs_daily ORDER BY 1, 2"
            )
            assert [tuple(row.values()) for row in rows] == [
                ("A100", False, 24, Decimal("98.25"), Decimal("4.09375")),  # three hours of eight GPUs
                ("A100", True, 8, 10, Decimal("1.25")),
                ("A10G", False, 3, 9, 3),
                ("V100", False, None, 4, None),
            ]
            (focus,) = await here.rows("SELECT SUM(BilledCost) AS cost, COUNT(*) AS n FROM cost_data_standard_1_3")
            assert (focus["cost"], focus["n"]) == (Decimal("725.25"), 9), "nothing is charged again"

    asyncio.run(main())


def test_what_is_sold_beside_a_machine_adds_no_hours(tmp_path: Path) -> None:
    """Software, licences, commitments and discounts name a machine and its hours; a GPU works once in an hour."""
    licence = '{"ServiceType": "Standard_NC6s_v3"}'
    lines = {
        line("6", "2", "Hours", "BoxUsage:p3.2xlarge"): "",
        line("4", "2", "Hrs", "SoftwareUsage:p3.2xlarge", words="AWS Marketplace software usage|p3.2xlarge"): "",
        line("2", "2", "Hours", "BoxUsage:p3.2xlarge", words="per hour for EMR p3.2xlarge", service="MapReduce"): "",
        line("-1", "2", "Hours", "BoxUsage:p3.2xlarge", words="Discount"): "",
        line("7", "2", "1 Hour", "NC6s v3", resource="vm-a"): licence,
        line("1", "2", "1 Hour", "6 vCPU VM License", resource="vm-a"): licence,
        line("1", "2", "1 Hour", "Static Public IP", resource="vm-a"): licence,
        line("7", "2", "1 Hour", "", resource="vm-b"): licence,
        line("5", "3", "Hours", "x", words="Nvidia Tesla T4 GPU running in Americas", resource="g"): "",
        line("3", "3", "Hours", "x", words="Commitment v1: Nvidia Tesla T4 GPU running in Americas for 1 Year"): "",
    }
    head = HEAD.strip() + ",x_AdditionalInfo\n"
    text = head + "".join(f'{row.strip()},"{more.replace(chr(34), chr(34) * 2)}"\n' for row, more in lines.items())

    async def main() -> None:
        async with installed(tmp_path) as here:
            put(tmp_path, "f/bill.csv", text.encode())
            await here.good("focus/import", path="f/", **days(DAY, DAY))
            results = await here.good(PIPELINE, **days(DAY, DAY))
            assert results["consolidate_usage"]["left_out"] == {
                "software": 2,
                "licence": 1,
                "other_meter": 1,
                "commitment": 1,
                "negative_cost": 1,
            }
            rows = await here.rows(
                "SELECT gpu_model AS gpu, gpu_hours AS h, effective_cost AS c FROM genai_infrastructure_costs_daily"
                " ORDER BY 1, 2"
            )
            assert [tuple(row.values()) for row in rows] == [
                ("T4", 3, 8),  # a committed GPU costs what the commitment costs
                ("V100", 6, 19),  # 6 less the discount, and two machines of 7
            ]

    asyncio.run(main())
