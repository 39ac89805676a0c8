"""`convergence trace` of charges whose raw rows are missing: what is, and how they come back."""

from __future__ import annotations

from pathlib import Path

from tests.unit.entry.conftest import Cli

DAY, RAW = "2026-11-10", "cloud_aws_billing_raw_daily"
PIPELINE = "acme-cloud-aws-cost-billing"
AGAIN = (
    "Load its month again: convergence backfill acme cloud/aws/cost/billing"
    " --from 2026-11-01 --to 2026-11-30 --step month --mode all"
)


def execute(acme: Cli, statement: str) -> None:
    Path("configs/shop/statement.yml").write_text(
        'pipeline_id: "{org_slug}-shop-statement"\nprovider: shop\nsteps:\n  - step_id: execute\n'
        f"    ps_type: generic.bq_execute\n    config:\n      query: |\n        {statement}\n"
    )
    ran = acme("run", "acme", "shop/statement", "-p", f"start_date={DAY}", "-p", f"end_date={DAY}")
    assert ran.code == 0, ran.err


def charge(acme: Cli, charge_id: str, row_ids: str, pipeline: str = PIPELINE) -> None:
    table = "NULL" if row_ids == "NULL" and pipeline != PIPELINE else f"'{RAW}'"
    execute(
        acme,
        "INSERT INTO cost_data_standard_1_3 (BilledCost, EffectiveCost, BillingAccountId, BillingCurrency,"
        " BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart, ChargePeriodEnd, ChargeCategory, InvoiceIssuerName,"
        " ProviderName, PublisherName, ServiceCategory, ServiceName, ServiceProviderName, x_pipeline_run_date,"
        " x_ChargeId, x_SourceTable, x_SourceRowId, x_SourcePipelineId, x_pipeline_id, x_credential_id)"
        " SELECT 1, 1, 'a', 'USD', TIMESTAMP '2026-11-01', TIMESTAMP '2026-12-01',"
        f" TIMESTAMP '{DAY}', TIMESTAMP '2026-11-11', 'Usage', 'AWS', 'AWS', 'AWS', 's', 's', 'AWS', DATE '{DAY}',"
        f" '{charge_id}', {table}, {row_ids}, '{pipeline}', '{pipeline}', 'c'",
    )


def test_raw_rows_that_a_charge_does_not_name_or_that_are_gone_are_said_with_the_way_back(acme: Cli) -> None:
    assert acme("report", "acme", "by_service").code == 0  # makes the table of charges
    charge(acme, "older", "NULL")
    charge(acme, "partly", "'r1 r2'")
    charge(acme, "whole", "'r1'")
    charge(acme, "oldest", "NULL", "acme-long-gone")

    def advice(charge_id: str) -> str | None:
        found = acme("trace", "acme", charge_id, "--json").data["advice"]
        shown = acme("trace", "acme", charge_id)
        assert shown.code == 0
        assert found is None or found in shown.out
        return None if found is None else str(found)

    assert advice("partly") == f"2 of the 2 raw rows that it names no longer exist. {AGAIN}"  # makes RAW
    execute(
        acme,
        f"INSERT INTO {RAW} (BilledCost, BillingCurrency, BillingPeriodStart, source_format, row_id,"
        " x_pipeline_id, x_credential_id, x_pipeline_run_date)"
        f" SELECT 1, 'USD', TIMESTAMP '2026-11-01', 'focus', 'r1', '{PIPELINE}', 'c', DATE '2026-11-01'",
    )
    assert advice("partly") == f"1 of the 2 raw rows that it names no longer exist. {AGAIN}"
    assert advice("whole") is None
    unnamed = "It does not record which raw rows it was made from: an earlier release loaded or made it."
    assert advice("older") == f"{unnamed} {AGAIN}"
    assert advice("oldest") == (f"{unnamed} The pipeline acme-long-gone, which made it, is not among the configs.")
    assert "rows of None" not in acme("trace", "acme", "oldest").out
