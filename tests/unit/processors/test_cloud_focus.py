"""Bills that come as files, end to end in the embedded mode: real samples, sums to the last decimal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from convergence.ports.warehouse import Scope, Statement
from tests.unit.processors.bills import FILES, charges, put, read, running, total
from tests.unit.processors.installation import ORG, Here

SEPTEMBER = {"start_date": "2024-09-10", "end_date": "2024-09-10"}


def test_a_real_focus_1_0_file_adds_up(tmp_path: Path) -> None:
    """1,000 rows of AWS, Microsoft and Oracle; six of September have no contracted cost, FOCUS has no column `Id`, and
    one row is billed in October."""
    file = read("focus_1.0_sample_1000.csv")
    september = [row for row in file if row["BillingPeriodStart"].startswith("2024-09-01")]
    put(tmp_path, "focus/2024-09/bill.csv", (FILES / "focus_1.0_sample_1000.csv").read_bytes())

    async def work(here: Here) -> None:
        for _ in range(2):
            await here.good("focus/import", path="focus/%Y-%m/", **SEPTEMBER)
            sums = "COUNT(*), SUM(BilledCost), SUM(EffectiveCost), SUM(ListCost), SUM(ContractedCost)"
            [(count, *found)] = await charges(here, sums)
            assert count == len(september) == 999
            names = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
            assert found == [total(september, name) for name in names]
        [(missing,)] = await charges(here, "COUNT(*)", "WHERE ContractedCost IS NULL")
        assert missing == 6
        assert await charges(here, "DISTINCT x_DatasetChanges", "WHERE ContractedCost IS NULL") == [
            ("ContractedCost: the source does not say it",)
        ]
        providers = await charges(here, "ServiceProviderName, COUNT(*)", "GROUP BY 1 ORDER BY 1")
        assert providers == [("AWS", 942), ("Microsoft", 51), ("Oracle", 6)]
        [reason] = await here.rows("SELECT reason FROM org_meta_quarantine_rows")
        assert "column 'BillingPeriodStart' is not TIMESTAMP 2024-09-01: '2024-10-01 00:00:00'" in reason["reason"]
        assert (await charges(here, "x_SourceColumns", "WHERE x_SourceColumns LIKE '%11472%'")) == [
            ('{"x_Id":"11472"}',)
        ]

    running(tmp_path, work)


FOCUS_1_4 = (
    "BilledCost,EffectiveCost,ListCost,ListUnitPrice,ContractedCost,BillingAccountId,BillingCurrency,BillingPeriodStart,"
    "BillingPeriodEnd,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceProviderName,ServiceName,ServiceCategory,"
    "InvoiceIssuerName,InvoiceDetailId,Tags\n"
)


def row(cost: str, listed: str, price: str, start: str = "2024-09-10T00:00:00Z") -> str:
    period = "2024-09-01T00:00:00Z,2024-10-01T00:00:00Z"
    rest = 'MongoDB,Atlas,Databases,MongoDB,d-1,"{""team"":""=1+1""}"'
    return f"{cost},{cost},{listed},{price},{cost},acc,USD,{period},Usage,{start},2024-09-11T00:00:00Z,{rest}\n"


def test_focus_1_4_has_one_name_of_the_provider_and_0_may_mean_unknown(tmp_path: Path) -> None:
    """The list cost of 0 beside a cost, without a price: finops-toolkit, issues 873 and 874."""
    put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("1.25", "0", "0") + row("0", "0", "0")).encode())

    async def work(here: Here) -> None:
        await here.good("focus/import", path="f/", **SEPTEMBER)
        columns = "BilledCost, ListCost, ProviderName, PublisherName, x_SourceColumns, x_DatasetChanges"
        kept = '{"x_InvoiceDetailId":"d-1"}'
        assert await charges(here, columns, "ORDER BY BilledCost") == [
            (Decimal(0), Decimal(0), "MongoDB", "MongoDB", kept, None),
            (Decimal("1.25"), None, "MongoDB", "MongoDB", kept, "ListCost: 0 without a price is not known"),
        ]
        # A newer file of the month replaces it, with the charges that it no longer has.
        put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("2", "2", "2")).encode())
        await here.good("focus/import", path="f/", **SEPTEMBER)
        assert await charges(here, "BilledCost") == [(Decimal(2),)]

    running(tmp_path, work)


def test_a_bill_that_two_pipelines_load_is_not_counted_twice(tmp_path: Path) -> None:
    put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("2", "2", "2")).encode())

    async def work(here: Here) -> None:
        await here.good("focus/import", path="f/", **SEPTEMBER)
        sql = "UPDATE focus_billing_daily_raw SET x_pipeline_id = 'another' WHERE TRUE"
        scope = Scope(dataset=f"{ORG}_dev", writable=True)
        await here.installation.services.warehouse.query(Statement(sql, scope=scope))
        run = await here.run("focus/import", path="f/", **SEPTEMBER)
        assert run.status == "failed"
        assert "the same bill is loaded twice and would count twice: account acc" in (run.error or {})["message"]
        assert await charges(here, "BilledCost") == [(Decimal(2),)]

    running(tmp_path, work)


def test_amounts_with_signs_of_a_spreadsheet_are_set_aside(tmp_path: Path) -> None:
    """The specification's own examples have "$10,000.00 " and 5/1/25."""
    name = "saas_examples__simple_agreements__simple_saas_agreements_a1.csv"
    put(tmp_path, "f/bill.csv", (FILES / name).read_bytes())

    async def work(here: Here) -> None:
        run = await here.run("focus/import", path="f/", **SEPTEMBER)
        assert run.status == "failed"
        assert "line 2: column 'BilledCost' is not BIGNUMERIC: '$10,000.00 '" in (run.error or {})["message"]

    running(tmp_path, work)
