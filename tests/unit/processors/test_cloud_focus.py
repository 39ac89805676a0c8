"""Bills that come as files, end to end in the embedded mode: real samples, sums to the last decimal."""

from __future__ import annotations

import asyncio
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from convergence.domain.billing_periods import Change, PeriodKey
from convergence.ports.warehouse import Scope, Statement
from convergence.tenants.billing import BillingStore
from tests.unit.processors.bills import FILES, charges, put, read, running, total
from tests.unit.processors.installation import CONFIGS, ORG, Here, installed

SEPTEMBER = {"start_date": "2024-09-10", "end_date": "2024-09-10"}


def test_a_real_focus_1_0_file_adds_up(tmp_path: Path) -> None:
    """1,000 rows of AWS, Microsoft and Oracle; six of September have no contracted cost, FOCUS has no column `Id`, and
    one row is billed in October."""
    file = read("focus_1.0_sample_1000.csv")
    september = [row for row in file if row["BillingPeriodStart"].startswith("2024-09-01")]
    put(tmp_path, "focus/2024-09/bill.csv", (FILES / "focus_1.0_sample_1000.csv").read_bytes())

    async def work(here: Here) -> None:
        for _ in range(2):
            step = (await here.good("focus/import", path="focus/%Y-%m/", **SEPTEMBER))["validate_focus"]
            assert (step["rows_processed"], step["rows_written"], step["focus"]["verdict"]) == (999, 999, "warned")
            assert set(step["focus"]["waived"]) == {f"CAU-ContractedCost-C-00{number}-M" for number in (3, 4)}
            assert "OWN-InvoiceIssuer-001" in step["focus"]["failed"]
            sums = "COUNT(*), SUM(BilledCost), SUM(EffectiveCost), SUM(ListCost), SUM(ContractedCost)"
            [(count, *found)] = await charges(here, sums)
            assert count == len(september) == 999
            names = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
            assert found == [total(september, name) for name in names]
        [(missing,)] = await charges(here, "COUNT(*)", "WHERE ContractedCost IS NULL")
        assert missing == 6
        changes = await charges(here, "DISTINCT x_DatasetChanges", "WHERE ContractedCost IS NULL ORDER BY 1")
        unknown = "ContractedCost: the source does not say it"
        assert changes == [(unknown,), (f"{unknown}; SkuPriceId: SkuId, the source does not say it",)]
        providers = await charges(here, "ServiceProviderName, COUNT(*)", "GROUP BY 1 ORDER BY 1")
        assert providers == [("AWS", 942), ("Microsoft", 51), ("Oracle", 6)]
        [reason] = await here.rows("SELECT reason FROM org_meta_quarantine_rows")
        assert "column 'BillingPeriodStart' is not TIMESTAMP 2024-09-01: '2024-10-01 00:00:00'" in reason["reason"]
        assert (await charges(here, "x_SourceColumns", "WHERE x_SourceColumns LIKE '%11472%'")) == [
            ('{"x_Id":"11472"}',)
        ]

    running(tmp_path, work)


def test_a_charge_finds_its_row_of_the_file_and_keeps_its_key_in_the_next_delivery(tmp_path: Path) -> None:
    """Two rows that are the same in every column have one key, and each of their charges finds both."""
    once, twice = row("1", "1", "1"), row("2", "2", "2")
    found = (
        "SELECT charge.x_SourceRowId AS key, charge.BilledCost AS cost, COUNT(*) AS n, SUM(raw.BilledCost) AS billed"
        " FROM cost_data_standard_1_3 AS charge JOIN focus_billing_daily_raw AS raw"
        " ON raw.x_pipeline_id = charge.x_SourcePipelineId AND raw.row_id = charge.x_SourceRowId"
        " GROUP BY charge.x_ChargeId, key, cost ORDER BY cost, charge.x_ChargeId"
    )

    async def work(here: Here) -> None:
        put(tmp_path, "f/bill.csv", (FOCUS_1_4 + once + twice + twice).encode())
        await here.good("focus/import", path="f/", **SEPTEMBER)
        first, *others = await here.rows(found)
        assert (first["cost"], first["n"], first["billed"]) == (1, 1, 1)
        assert [(each["cost"], each["n"], each["billed"]) for each in others] == [(2, 2, 4)] * 2
        put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("7", "7", "7") + once).encode())
        await here.good("focus/import", path="f/", **SEPTEMBER)
        again, new = await here.rows(found)
        assert (again["key"], new["cost"], new["n"]) == (first["key"], 7, 1)

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


def test_what_a_file_of_focus_1_0_lacks_is_filled_from_the_row_itself(tmp_path: Path) -> None:
    """It is older than PricingCurrency, ServiceSubcategory and the types of accounts; Oracle has no SkuPriceId."""
    put(tmp_path, "focus/2024-09/bill.csv", (FILES / "focus_1.0_sample_1000.csv").read_bytes())
    files = {row["Id"]: row for row in read("focus_1.0_sample_1000.csv") if row["BillingPeriodStart"] < "2024-10"}

    def said(row: dict[str, str], name: str) -> str | None:
        return None if row[name] in {"", "NULL"} else row[name]

    async def work(here: Here) -> None:
        await here.good("focus/import", path="focus/%Y-%m/", **SEPTEMBER)
        found = await here.rows("SELECT *, JSON_VALUE(x_SourceColumns, '$.x_Id') AS id FROM cost_data_standard_1_3")
        assert {row["id"] for row in found} == files.keys()
        for row in found:
            file = files[row["id"]]
            sku, price = said(file, "SkuId"), said(file, "SkuPriceId")
            assert row["SkuPriceId"] == (price or (sku if file["ChargeCategory"] in {"Usage", "Purchase"} else None))
            assert row["PricingCurrency"] == file["BillingCurrency"]
            assert row["PricingCurrencyEffectiveCost"] == Decimal(file["EffectiveCost"])
            listed = said(file, "ListUnitPrice")
            assert row["PricingCurrencyListUnitPrice"] == (None if listed is None else Decimal(listed))
            region = said(file, "RegionId"), said(file, "RegionName")
            assert (row["RegionId"], row["RegionName"]) == (region[0] or region[1], region[1] or region[0])
            assert row["ServiceSubcategory"] == f"Other ({file['ServiceCategory']})"
            assert row["ResourceType"] == (
                said(file, "ResourceType") or (file["ServiceName"] if row["ResourceId"] else None)
            )
            assert row["ChargeFrequency"] in {"Usage-Based", "One-Time", "Recurring"}

    running(tmp_path, work)


def test_a_charge_that_breaks_a_rule_of_sums_stops_the_file_and_what_was_there_stays(tmp_path: Path) -> None:
    put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("2", "2", "2")).encode())

    async def work(here: Here) -> None:
        await here.good("focus/import", path="f/", **SEPTEMBER)
        broken = row("3", "3", "3") + row("4", "4", "4").replace(",Usage,", ",Fee,")
        put(tmp_path, "f/bill.csv", (FOCUS_1_4 + broken).encode())
        run = await here.run("focus/import", path="f/", **SEPTEMBER)
        assert run.status == "failed"
        assert "CAU-ChargeCategory-C-003-M" in (run.error or {})["message"]
        assert "ChargeCategory: charge" in (run.error or {})["message"]
        assert await charges(here, "BilledCost") == [(Decimal(2),)]

    running(tmp_path, work)


def test_what_another_delivery_adds_to_a_closed_period_is_a_correction_of_the_next(tmp_path: Path) -> None:
    put(tmp_path, "f/bill.csv", (FOCUS_1_4 + row("2", "2", "2")).encode())
    key = PeriodKey(date(2024, 9, 1), "MongoDB", "acc")

    async def work(here: Here) -> None:
        await here.good("focus/import", path="f/", **SEPTEMBER)
        services = here.installation.services
        now = services.clock.now()
        await BillingStore(services.documents).move(ORG, key, Change(status="Closed", at=now, actor="tester"))
        await here.good("focus/import", path="f/", **SEPTEMBER)  # the same charges again
        # A charge of another day, which the run's own days do not have.
        more = row("2", "2", "2") + row("1", "1", "1", "2024-09-05T00:00:00Z")
        put(tmp_path, "f/bill.csv", (FOCUS_1_4 + more).encode())
        for _ in range(2):  # the second time its correction is of the bill as well, and there is one still
            await here.good("focus/import", path="f/", **SEPTEMBER)
            found = await charges(here, "BilledCost, DATE(BillingPeriodStart) AS month, ChargeClass")
            assert sorted(found) == [(1, date(2024, 10, 1), "Correction"), (2, date(2024, 9, 1), None)]

    running(tmp_path, work)


# The steps behind load_files of focus/import as earlier releases had it, and of a copy that calls the procedure itself.
OF_EARLIER_RELEASES = {
    "step": """
    ps_type: cloud.focus_converter
    depends_on: [load_files]
    config: {table: focus_billing_daily_raw, provider_name: "{provider_name}"}
    destination: {table: cost_data_standard_1_3}
""",
    "call": """
    ps_type: generic.procedure_executor
    depends_on: [load_files]
    config:
      repeatable: true
      procedure: {name: sp_cloud_convert_focus_1_3, dataset: organizations}
      tables: [focus_billing_daily_raw, cost_data_candidate_1_3]
      parameters:
        - {name: p_org_slug, type: STRING, value: "{org_slug}"}
        - {name: p_pipeline_id, type: STRING, value: "{pipeline_id}"}
        - {name: p_credential_id, type: STRING, value: "{credential_id}"}
        - {name: p_run_id, type: STRING, value: "{run_id}"}
        - {name: p_start_date, type: DATE, value: "{start_date}"}
        - {name: p_end_date, type: DATE, value: "{end_date}"}
        - {name: p_table, type: STRING, value: focus_billing_daily_raw}
        - {name: p_provider, type: STRING, value: focus}
        - {name: p_provider_name, type: STRING, value: "{provider_name}"}
    destination: {table: cost_data_standard_1_3}
""",
}


@pytest.mark.parametrize("form", OF_EARLIER_RELEASES)
def test_a_copy_of_an_earlier_release_publishes_the_same_charges_unchecked(tmp_path: Path, form: str) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    text = (configs / "focus/import.yml").read_text()
    steps, _, _ = text.replace("-focus-import", "-focus-older").partition("  - step_id: convert_focus\n")
    (configs / "focus/older.yml").write_text(f"{steps}  - step_id: convert_focus{OF_EARLIER_RELEASES[form]}")
    broken = row("4", "4", "4").replace("USD", "XXY")  # not a currency: the gate would stop it
    shown = "BilledCost, ServiceName, x_ChargeId, x_SourceTable, x_credential_id, DATE(ChargePeriodStart)"

    async def work() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            put(tmp_path / "data", "f/bill.csv", (FOCUS_1_4 + row("2", "2", "2") + row("3", "3", "3")).encode())
            await here.good("focus/import", path="f/", **SEPTEMBER)
            checked = await charges(here, shown, "ORDER BY x_ChargeId")
            scope = Scope(dataset=f"{ORG}_dev", writable=True)
            for table in ("cost_data_standard_1_3", "cost_data_candidate_1_3", "focus_billing_daily_raw"):
                delete = Statement(f"DELETE FROM {table} WHERE TRUE", scope=scope)
                await here.installation.services.warehouse.query(delete)
            for _ in range(2):
                await here.good("focus/older", path="f/", **SEPTEMBER)
                found = await charges(here, shown, "ORDER BY BilledCost")
                assert sorted(each[0] for each in found) == [2, 3]
                assert {each[1:2] + each[3:] for each in found} == {each[1:2] + each[3:] for each in checked}
            put(tmp_path / "data", "f/bill.csv", (FOCUS_1_4 + broken).encode())
            await here.good("focus/older", path="f/", currencies=["XXY"], **SEPTEMBER)
            assert await charges(here, "BilledCost, BillingCurrency") == [(Decimal(4), "XXY")]

    asyncio.run(work())


@pytest.mark.parametrize("account", ["acc", "/providers/Microsoft.Billing/billingAccounts/ACC"])
def test_the_second_pipeline_of_a_bill_is_refused_and_the_first_goes_on(tmp_path: Path, account: str) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    text = (configs / "focus/import.yml").read_text()
    (configs / "focus/second.yml").write_text(text.replace("-focus-import", "-focus-second"))

    def bill(account: str, *costs: str) -> bytes:
        return (FOCUS_1_4 + "".join(row(each, each, each) for each in costs)).replace(",acc,", f",{account},").encode()

    async def work() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            put(tmp_path / "data", "f/bill.csv", bill("acc", "2", "3"))
            put(tmp_path / "data", "g/bill.csv", bill(account, "2", "3"))
            await here.good("focus/import", path="f/", **SEPTEMBER)
            for costs in (["2", "3"], ["2", "4", "5"]):
                run = await here.run("focus/second", path="g/", **SEPTEMBER)
                message = (run.error or {})["message"]
                assert "the same bill is loaded twice and would count twice: account acc, period 2024-09-01" in message
                assert all(name in message for name in ("-focus-import", "-focus-second"))
                assert "rows (by x_pipeline_id) from focus_billing_daily_raw, with generic.bq_execute" in message
                put(tmp_path / "data", "f/bill.csv", bill("acc", *costs))
                await here.good("focus/import", path="f/", **SEPTEMBER)
                found = await charges(here, "BilledCost, BillingAccountId", "ORDER BY 1")
                assert found == [(Decimal(each), "acc") for each in costs]
            for statement in (  # what the message says: the first one goes, the second takes its place
                "DELETE FROM cost_data_standard_1_3 WHERE x_SourcePipelineId LIKE '%-focus-import'",
                "DELETE FROM focus_billing_daily_raw WHERE x_pipeline_id LIKE '%-focus-import'",
            ):
                scope = Scope(dataset=f"{ORG}_dev", writable=True)
                await here.installation.services.warehouse.query(Statement(statement, scope=scope))
            await here.good("focus/second", path="g/", **SEPTEMBER)
            assert await charges(here, "BilledCost", "ORDER BY 1") == [(Decimal(2),), (Decimal(3),)]
            assert (await here.run("focus/import", path="f/", **SEPTEMBER)).status == "failed"

    asyncio.run(work())


def test_amounts_with_signs_of_a_spreadsheet_are_set_aside(tmp_path: Path) -> None:
    """The specification's own examples have "$10,000.00 " and 5/1/25."""
    name = "focus_examples/saas_examples__simple_agreements__simple_saas_agreements_a1.csv"
    put(tmp_path, "f/bill.csv", (FILES / name).read_bytes())

    async def work(here: Here) -> None:
        run = await here.run("focus/import", path="f/", **SEPTEMBER)
        assert run.status == "failed"
        assert "line 2: column 'BilledCost' is not BIGNUMERIC: '$10,000.00 '" in (run.error or {})["message"]

    running(tmp_path, work)
