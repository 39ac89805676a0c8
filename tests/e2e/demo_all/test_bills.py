"""Charges add up to the bills that the sandbox hands out, per provider, account and day."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from convergence.sandbox import aws, azure_bill, billing_export, bills
from convergence.sandbox.http import Request
from tests.e2e.conftest import ROOT
from tests.e2e.demo_all.conftest import Everything
from tests.e2e.demo_all.sandbox_bills import billed_by_the_sandbox
from tests.unit.processors.expected_costs import FIRST, LAST


def test_the_question_of_the_documents_is_answered_for_every_charge(everything: Everything) -> None:
    text = (ROOT / "docs/data.md").read_text("utf-8")
    sql = text.partition("```sql\n")[2].partition("```")[0]
    rows = everything.json("query", "demo", sql)["rows"]
    charges = int(everything.json("query", "demo", "SELECT COUNT(*) AS n FROM cost_data_standard_1_3")["rows"][0]["n"])
    assert len(rows) == charges
    answers = defaultdict(set)
    for row in rows:
        answers[row["ProviderName"]].add(row["answer"])
    assert answers == {
        "OpenAI": {"matched", "over", "contract", "residual"},
        "Anthropic": {"matched"},
        "Example Design": {"contract"},
        **{name: {"provider_bill"} for name in ("Oracle", "MongoDB", "OpenRouter")},
        **{name: {"provider_bill", "contract"} for name in ("Google Cloud", "Microsoft", "AWS")},  # and commitments
    }
    for provider in ("OpenAI", "Anthropic"):
        raw = billed_by_the_sandbox(provider)
        of_usage = [row for row in rows if row["ProviderName"] == provider and row["answer"] != "contract"]
        assert {row["x_pipeline_id"] for row in of_usage} != {row["compared_by"] for row in of_usage}
        for row in of_usage:
            if row["x_Model"]:
                key = row["ChargePeriodStart"][:10], row["x_Model"]
                assert Decimal(row["billed_cost"]) == raw[key], key


def test_charges_add_up_to_the_bill_per_provider_account_and_day(everything: Everything) -> None:
    found = {(row["provider"], row["day"]): row for row in everything.second["bills"]}
    # gemini and vertex have every other day each
    assert len(found) == len(everything.second["bills"]) == 4 * 4 + 4
    assert {row["difference"] for row in found.values()} == {"0"}
    for provider, name in (("openai", "OpenAI"), ("anthropic", "Anthropic")):
        raw: dict[str, Decimal] = defaultdict(Decimal)
        for (day, _), amount in billed_by_the_sandbox(name).items():
            raw[day] += amount
        for day, amount in raw.items():
            assert Decimal(found[provider, day]["cost"]) == Decimal(found[provider, day]["billed"]) == amount
    assert "Charges against the bill" in everything.screen


def bills_of_clouds(everything: Everything) -> dict[tuple[str, str, str, str], Decimal]:
    """Sum what the sandbox hands out as bills, by provider, account, day and currency: files, Cost Explorer, Cost
    Management, the export of Google Cloud, contracts."""
    sums: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for name in ("aws", "azure", "oci", "focus"):
        served = bills.answer(Request("GET", f"/v1/bills/{name}/2026-11.csv", (), {}, b"")).body.decode()
        for row in csv.DictReader(io.StringIO(served)):
            key = name, row["BillingAccountId"], row["ChargePeriodStart"][:10], row["BillingCurrency"]
            sums[key] += Decimal(row["BilledCost"])
    read_on = "SELECT MAX(x_ingestion_date) AS day FROM cloud_aws_billing_raw_daily WHERE source_format <> 'focus'"
    ((found,),) = (row.values() for row in everything.json("query", "demo", read_on)["rows"])
    month, end = FIRST.replace(day=1), min(date.fromisoformat(found), date(2026, 12, 1))
    for charge in aws.charges(month, end):
        sums["aws", aws.ACCOUNT, charge.day.isoformat(), "USD"] += charge.cost
    for number in range((end - month).days):
        day = month + timedelta(days=number)
        for line in azure_bill.LINES:
            sums["azure", azure_bill.ACCOUNT, day.isoformat(), "EUR"] += azure_bill.cost(line, day)
    stored = everything.json("query", "demo", "SELECT DISTINCT usage_date AS day FROM gcp_billing_daily_raw")["rows"]
    days = {date.fromisoformat(row["day"]) for row in stored}  # those of the run, and earlier ones that had late rows
    assert {FIRST + timedelta(days=number) for number in range(4)} <= days
    for exported in (exported for day in days for exported in billing_export.of_day(day)):
        taken = sum((Decimal(credit["amount"]) for credit in exported["credits"]), Decimal(0))
        key = "gcp", exported["billing_account_id"], exported["usage_date"].isoformat(), exported["currency"]
        sums[key] += Decimal(exported["cost"]) + taken
    return sums


def test_the_charges_of_clouds_and_files_are_the_bill_per_provider_account_and_day(everything: Everything) -> None:
    expected_sums = bills_of_clouds(everything)
    names = ", ".join(f"'{name}'" for name in sorted({provider for provider, *_ in expected_sums}))
    sql = (
        "SELECT x_Provider AS provider, BillingAccountId AS account, DATE(ChargePeriodStart) AS day,"
        " BillingCurrency AS currency, SUM(BilledCost) AS cost FROM cost_data_standard_1_3"
        f" WHERE x_Provider IN ({names}) GROUP BY 1, 2, 3, 4"
    )
    rows = everything.json("query", "demo", sql)["rows"]
    found = {(row["provider"], row["account"], row["day"], row["currency"]): Decimal(row["cost"]) for row in rows}
    assert len(found) == len(rows)
    assert found == dict(expected_sums)


def test_a_day_of_a_contract_is_its_share_of_the_invoice(everything: Everything) -> None:
    """12 seats for 45 USD a month from 15 January on, 15 from 12 November on.

    The bill of 15 October to 14 November: 12 seats for 31 days, three days of them paid back, three days of 15 seats.
    """
    sql = (
        "SELECT DATE(ChargePeriodStart) AS day, BillingCurrency AS currency, SUM(BilledCost) AS cost"
        " FROM cost_data_standard_1_3 WHERE x_Provider = 'saas' GROUP BY 1, 2 ORDER BY 1"
    )
    rows = everything.json("query", "demo", sql)["rows"]
    assert [(row["day"], row["currency"]) for row in rows] == [(f"2026-11-{day}", "USD") for day in range(10, 14)]
    bill = [Decimal("540.00"), Decimal("-52.26"), Decimal("65.32")]
    for row, (part, of_days) in zip(rows, [(sum(bill[:2]), 28)] * 2 + [(bill[2], 3)] * 2, strict=True):
        assert abs(Fraction(row["cost"]) - Fraction(part) / of_days) < Fraction(1, 10**9), row
    sql = "SELECT DISTINCT invoice_amount AS part FROM saas_subscription_cost_daily WHERE kind = 'seat'"
    assert sum(Decimal(row["part"]) for row in everything.json("query", "demo", sql)["rows"]) == sum(bill)


def test_commitments_are_charged_by_their_contracts(everything: Everything) -> None:
    """15 units at 260 USD from the 12th of a month on, two at 2,400 from the 1st, one at 21.18 an hour."""
    sql = (
        "SELECT CommitmentDiscountId AS id, SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective"
        " FROM cost_data_standard_1_3 WHERE x_Provider = 'commitment' GROUP BY 1 ORDER BY 1"
    )
    rows = everything.json("query", "demo", sql)["rows"]
    found = {row["id"]: (Decimal(row["billed"]), round(Decimal(row["effective"]), 6)) for row in rows}
    hourly = Decimal("21.18") * 24 * 4
    assert found == {
        "sandbox-gsu": (0, 4 * Decimal(4800) / 30),  # its purchase is on the 1st
        "sandbox-model-unit": (hourly, hourly),
        "sandbox-ptu": (3900, round(2 * Decimal(3900) / 31 + 2 * Decimal(3900) / 30, 6)),
    }
    statuses = (
        "SELECT DISTINCT CommitmentDiscountStatus AS s FROM cost_data_standard_1_3 WHERE ChargeCategory = 'Usage'"
    )
    rows = everything.json("query", "demo", f"{statuses} AND x_Provider = 'commitment' ORDER BY 1")["rows"]
    assert [row["s"] for row in rows] == ["Unused", "Used"]


def test_gpu_hours_are_those_of_the_bill(everything: Everything) -> None:
    """The sandbox bills a machine of four GPUs on each day."""
    served = bills.answer(Request("GET", "/v1/bills/aws/2026-11.csv", (), {}, b"")).body.decode()
    machine = [row for row in csv.DictReader(io.StringIO(served)) if row["SkuId"] == "BoxUsage:g5.12xlarge"]
    of_days = [row for row in machine if FIRST.isoformat() <= row["ChargePeriodStart"][:10] <= LAST.isoformat()]
    hours = sum(4 * Decimal(row["ConsumedQuantity"]) for row in of_days)
    cost = sum(Decimal(row["EffectiveCost"]) for row in of_days)
    sums = "gpu_model, SUM(gpu_hours) AS h, SUM(effective_cost) AS c"
    sql = f"SELECT {sums} FROM genai_infrastructure_costs_daily GROUP BY gpu_model"
    rows = everything.json("query", "demo", sql)["rows"]
    assert [(row["gpu_model"], Decimal(row["h"]), Decimal(row["c"])) for row in rows] == [("A10G", hours, cost)]
    assert hours > 0
