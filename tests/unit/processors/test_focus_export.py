"""`generic.focus_export`: whole billing periods as files: exact, replaced as a whole, and open about the unknown."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.errors import InvalidInput, StepFailed, Transient
from convergence.processors.focus.export.bundle import COMMITMENTS, TABLE, Bundle
from convergence.processors.focus.export.deliver import Export
from convergence.processors.genai.commitments.focus_terms import checked_terms, known_terms
from convergence.processors.generic import focus_export
from convergence.processors.generic.focus_export import StepSource, get_engine
from tests.referees.opinions import required
from tests.unit.processors.focus_charges import CHARGE
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

NOVEMBER = PeriodKey(date(2026, 11, 1), "OpenAI", "acc-1")
SCHEMA = TableSchemas(CONFIGS).get(TABLE)
FOCUS_1_3 = (Path(__file__).parents[2] / "repo/focus_1_3_columns.txt").read_text().splitlines()


def charge(**changes: Any) -> dict[str, Any]:
    return {**CHARGE, **changes}


def december(**changes: Any) -> dict[str, Any]:
    """A charge of the period behind November's."""
    times = {"BillingPeriodStart": "2026-12-01T00:00:00Z", "BillingPeriodEnd": "2027-01-01T00:00:00Z"}
    return charge(**times, **changes)


async def store(context: WorldContext, rows: Sequence[Mapping[str, Any]]) -> None:
    """Let the charges be what the table has for the run's days."""
    stage = context.warehouse.stage(TABLE)
    await stage.write(0, rows)
    await context.warehouse.load(stage, dates=[FIRST])


async def export(context: WorldContext, **config: str) -> Mapping[str, Any]:
    return await get_engine().execute({"config": config}, context)


def world(tmp_path: Path, work: Any) -> Any:
    async def main() -> Any:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(tmp_path / "warehouse.db", clock=clock)
        try:
            return await work(WorldContext(None, warehouse, clock, files=tmp_path / "files"))
        finally:
            warehouse.close()

    return asyncio.run(main())


def bundle(tmp_path: Path, version: str = "1.4", month: str = "2026-11") -> Path:
    return tmp_path / "files/acme/exports" / version / month


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


def rows_of(folder: Path, dataset: str = "CostAndUsage") -> list[dict[str, str]]:
    with (folder / f"{dataset}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_both_versions_have_their_columns_and_exact_sums(tmp_path: Path) -> None:
    tiny = Decimal("0.00000000000001")
    charges = [charge(x_ChargeId="1"), charge(x_ChargeId="2", BilledCost=tiny, ChargeDescription='a "b",\nc')]

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        for version in ("1.3", "1.4"):
            result = await export(context, version=version, format="csv")
            assert (result["rows_written"], result["periods"]) == (2, [f"exports/{version}/2026-11"])

    world(tmp_path, work)
    older, newer = rows_of(bundle(tmp_path, "1.3")), rows_of(bundle(tmp_path))
    focus = [name for name in older[0] if not name.startswith("x_")]
    assert focus == [line.split()[0] for line in FOCUS_1_3 if line and not line.startswith("#")]
    added = {"InvoiceDetailId", "CommitmentProgramEligibilityDetails"}
    assert set(newer[0]) - set(older[0]) == added
    assert set(older[0]) - set(newer[0]) == {"ProviderName", "PublisherName"}
    assert [name for name in newer[0] if not name.startswith("x_")] == sorted(
        {*focus, *added} - {"ProviderName", "PublisherName"}
    )
    assert not {"x_run_id", "x_ingested_at"} & set(newer[0]), "a run that changes no charge changes no file"
    assert sum(Decimal(row["BilledCost"]) for row in newer) == 6 + tiny
    assert newer[1]["ChargeDescription"] == 'a "b",\nc'
    assert newer[0]["BillingPeriodStart"] == "2026-11-01T00:00:00Z"
    facts = manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]
    assert facts["sums"] == {"USD": {"BilledCost": "6.00000000000001", "EffectiveCost": "12"}}
    assert {each["column"] for each in facts["unknown"]} == added
    assert not manifest(bundle(tmp_path, "1.3"))["datasets"]["CostAndUsage"]["unknown"]


def test_parquet_has_the_same_values_with_types(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1", BilledCost=Decimal("1.5")), charge(x_ChargeId="2", RegionId="")])
        await export(context)

    world(tmp_path, work)
    file = bundle(tmp_path) / "CostAndUsage.parquet"
    facts = manifest(file.parent)["datasets"]["CostAndUsage"]
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f"SELECT BilledCost, BillingPeriodStart, RegionId, typeof(ListUnitPrice) FROM '{file}' ORDER BY x_ChargeId"
        ).fetchall()
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert found == [(Decimal("1.5"), start, None, "DECIMAL(38,14)"), (Decimal(6), start, None, "DECIMAL(38,14)")]


def test_a_period_is_replaced_as_a_whole_and_others_stay(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        context.end_date = date(2026, 12, 31)
        await store(context, [charge(x_ChargeId="1"), december(x_ChargeId="2", BilledCost=Decimal(9))])
        await export(context, format="csv")
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, month="2026-12"))] == ["2"]
        await store(context, [december(x_ChargeId="3")])
        context.end_date = date(2026, 11, 30)
        await export(context, format="parquet")
        names = sorted(path.name for path in bundle(tmp_path).iterdir())
        assert names == ["CostAndUsage.parquet", "manifest.json"], "the CSV of November is gone"
        assert manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]["rows"] == 0
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, month="2026-12"))] == ["2"]

    world(tmp_path, work)


def test_where_time_is_up_it_goes_on_with_the_next_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus_export, "SLICE_S", 0.0)

    async def work(context: WorldContext) -> None:
        await store(context, [charge(), december(x_ChargeId="other")])
        context.end_date = date(2026, 12, 5)
        first = await export(context, version="1.3", format="csv")
        assert (first["status"], first["rows_staged"]) == ("CONTINUE", 1)
        assert rows_of(bundle(tmp_path, "1.3"))
        assert not bundle(tmp_path, "1.3", "2026-12").exists()
        context.checkpoint = json.loads(json.dumps(first["checkpoint"]))
        last = await export(context, version="1.3", format="csv")
        assert (last["status"], last["rows_processed"]) == ("SUCCESS", 2)
        assert last["periods"] == ["exports/1.3/2026-11", "exports/1.3/2026-12"]
        assert [row["x_ChargeId"] for row in rows_of(bundle(tmp_path, "1.3", "2026-12"))] == ["other"]

    world(tmp_path, work)


def test_what_is_unknown_or_rounded_is_said_and_never_invented(tmp_path: Path) -> None:
    price = Decimal("0.123456789012345678")
    charges = [charge(x_ChargeId="1", ListCost=None, ListUnitPrice=price, BilledCost=Decimal("1E-16"))]

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        await export(context, format="csv")

    world(tmp_path, work)
    facts = manifest(bundle(tmp_path))["datasets"]["CostAndUsage"]
    assert {"column": "ListCost", "rows": 1, "reason": "what is stored has no value"} in facts["unknown"]
    (row,) = rows_of(bundle(tmp_path))
    assert (row["ListCost"], row["ListUnitPrice"], row["BilledCost"]) == ("", "0.12345678901235", "0")
    assert facts["rounded"] == [
        {"column": "BilledCost", "values": 1, "difference": "-0.0000000000000001"},
        {"column": "ListUnitPrice", "values": 1, "difference": "0.000000000000004322"},
    ]


def test_large_days_come_in_pages_and_a_change_while_they_are_read_is_an_error(tmp_path: Path) -> None:
    charges = [charge(x_ChargeId=f"{number:03}") for number in range(25)]

    class Pages(StepSource):
        page_rows = 10
        meddle = False

        async def rows(self, sql: str) -> Any:
            found = await super().rows(sql)
            if self.meddle and "OFFSET 10" in sql:
                assert isinstance(self._context, WorldContext)
                await store(self._context, charges[:24])
            return found

    async def work(context: WorldContext) -> None:
        await store(context, charges)
        await context.warehouse.ensure_table(COMMITMENTS)
        source, folder = Pages(context), tmp_path / "out"
        folder.mkdir()
        whole = Bundle(org="acme", month=date(2026, 11, 1), version="1.4", format="csv", table=SCHEMA)
        await whole.write(source, folder, context.now())
        assert sorted(row["x_ChargeId"] for row in rows_of(folder)) == [each["x_ChargeId"] for each in charges]
        source.meddle = True
        with pytest.raises(Transient, match="2026-11 changed while they were read"):
            await whole.write(source, folder, context.now())

    world(tmp_path, work)


def test_periods_are_bounded() -> None:
    def months(first: date, last: date) -> list[date]:
        return Export(org="acme", first=first, last=last, version="1.4", format="csv", table=SCHEMA).months()

    assert months(date(2026, 11, 30), date(2027, 1, 1)) == [date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)]
    with pytest.raises(InvalidInput, match="has no day"):
        months(date(2026, 11, 1), date(2026, 10, 31))
    with pytest.raises(InvalidInput, match="at most 120"):
        months(date(2000, 1, 1), date(2000, 1, 1) + timedelta(days=366 * 11))


def test_a_folder_outside_of_the_orgs_is_refused(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        with pytest.raises(StepFailed, match="outside of the org's folder"):
            await get_engine().execute({"config": {"folder": "../other"}}, context)

    world(tmp_path, work)


def invoice(**changes: Any) -> Invoice:
    at = datetime(2026, 12, 2, tzinfo=UTC)
    lines = (
        InvoiceLine(line_id="1", amount=Decimal("12.000000000001"), grain={"ServiceName": "OpenAI API"}),
        InvoiceLine(line_id="2", amount=Decimal("2.28"), category="Tax"),
    )
    fixed: dict[str, Any] = {
        "key": NOVEMBER, "invoice_id": "INV-1", "currency": "USD", "lines": lines, "created_at": at, "updated_at": at,
        "issued_on": date(2026, 12, 1), "payment_terms": "Net 30",
    }  # fmt: skip
    return Invoice(**{**fixed, **changes})


def test_recorded_periods_and_invoices_are_data_sets_and_others_are_said_to_be_missing(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1"), charge(x_ChargeId="2", InvoiceIssuerName="Anthropic")])
        context.closed = [NOVEMBER, replace(NOVEMBER, account="acc-2"), replace(NOVEMBER, month=date(2026, 10, 1))]
        context.recorded = [
            invoice(),
            invoice(invoice_id="INV-2", status="Voided", payment_terms="", reference_id="INV-1"),
            invoice(invoice_id="INV-3", key=replace(NOVEMBER, month=date(2026, 12, 1))),
        ]
        await export(context, format="csv")
        await export(context, format="csv", version="1.3")
        (period,) = rows_of(bundle(tmp_path), "BillingPeriod")
        assert period == {
            "BillingPeriodCreated": "2026-11-21T09:00:00Z", "BillingPeriodLastUpdated": "2026-11-21T09:00:00Z",
            "BillingPeriodStart": "2026-11-01T00:00:00Z", "BillingPeriodEnd": "2026-12-01T00:00:00Z",
            "BillingPeriodStatus": "Closed", "InvoiceIssuerName": "OpenAI",
        }  # fmt: skip
        lines = rows_of(bundle(tmp_path), "InvoiceDetail")
        assert [(line["InvoiceId"], line["BilledCost"], line["ChargeCategory"]) for line in lines] == [
            ("INV-1", "12.000000000001", "Usage"), ("INV-1", "2.28", "Tax"),
            ("INV-2", "12.000000000001", "Usage"), ("INV-2", "2.28", "Tax"),
        ]  # fmt: skip
        assert [(line["InvoiceIssueStatus"], line["ReferenceInvoiceId"]) for line in lines[1:3]] == [
            ("Issued", "INV-1"),
            ("Voided", "INV-1"),
        ]
        assert (lines[0]["InvoiceIssueDate"], lines[0]["PaymentDueDate"]) == ("2026-12-01T00:00:00Z", "")
        assert lines[0]["InvoiceDetailGrain"] == '{"ServiceName":"OpenAI API"}'
        whole = manifest(bundle(tmp_path))
        assert [(each["dataset"], each["reason"].partition(":")[0]) for each in whole["missing"][:2]] == [
            ("BillingPeriod", "Anthropic"),
            ("InvoiceDetail", "Anthropic"),
        ]
        unknown = {"column": "PaymentTerms", "rows": 2, "reason": "what is stored has no value"}
        assert unknown in whole["datasets"]["InvoiceDetail"]["unknown"]
        assert set(manifest(bundle(tmp_path, "1.3"))["datasets"]) == {"CostAndUsage"}
        context.closed, context.recorded = [], []
        await export(context, format="csv")
        assert sorted(path.name for path in bundle(tmp_path).iterdir()) == ["CostAndUsage.csv", "manifest.json"]

    world(tmp_path, work)


async def commit(context: WorldContext, *terms: tuple[str, str, str], stated: str | None = None) -> None:
    """Store commitments: id, start and end; `stated`: their terms of 1.4."""
    stage = context.warehouse.stage("contract_commitment_1_3")
    rows = [
        {
            "BillingCurrency": "USD",
            "ContractCommitmentCategory": "Spend",
            "ContractCommitmentCost": Decimal("1200.5"),
            "ContractCommitmentId": name,
            "ContractCommitmentPeriodStart": f"{start}T00:00:00Z",
            "ContractCommitmentPeriodEnd": f"{end}T00:00:00Z",
            "ContractCommitmentType": "Savings Plan",
            "ContractId": name,
            "ContractPeriodStart": f"{start}T00:00:00Z",
            "ContractPeriodEnd": f"{end}T00:00:00Z",
            "x_Terms": stated,
        }
        for name, start, end in terms
    ]
    await stage.write(0, rows)
    await context.warehouse.load(stage, dates=None)


def test_commitments_of_the_period_are_a_data_set_of_1_3(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1")])
        terms = [("before", "2026-10-01", "2026-11-01"), ("until", "2026-10-01", "2026-11-02")]
        terms += [("from", "2026-11-30", "2027-11-30"), ("behind", "2026-12-01", "2027-12-01")]
        await commit(context, *terms)
        await export(context, version="1.3", format="csv")
        with (bundle(tmp_path, "1.3") / "ContractCommitment.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["ContractCommitmentId"] for row in rows] == ["from", "until"]
        assert (len(rows[0]), rows[0]["ContractCommitmentCost"]) == (13, "1200.5")
        assert rows[1]["ContractCommitmentPeriodEnd"] == "2026-11-02T00:00:00Z"
        await export(context, version="1.4", format="csv")
        found = manifest(bundle(tmp_path))
        assert "ContractCommitment" not in found["datasets"]
        lacking = {each["reason"].partition(":")[0]: each["reason"] for each in found["missing"][-2:]}
        assert list(lacking) == ["from", "until"]
        assert "1.4 also asks for ContractCommitmentApplicability, ContractCommitmentBenefitCategory" in lacking["from"]
        await context.warehouse.query("DELETE FROM contract_commitment_1_3 WHERE TRUE", write=True)
        await export(context, version="1.3", format="csv")
        assert not (bundle(tmp_path, "1.3") / "ContractCommitment.csv").exists()
        (missing,) = manifest(bundle(tmp_path, "1.3"))["missing"]
        assert (missing["dataset"], "no commitment" in missing["reason"]) == ("ContractCommitment", True)

    world(tmp_path, work)


STATED = {
    "ContractCommitmentApplicability": '{"IsGlobalScope":true}', "ContractCommitmentBenefitCategory": "Discount",
    "ContractCommitmentCreated": "2026-10-30T12:00:00+01:00", "ContractCommitmentDiscountPercentage": "0.25",
    "ContractCommitmentFulfillmentInterval": "Hourly", "ContractCommitmentLastUpdated": "2026-10-31T00:00:00Z",
    "ContractCommitmentLifecycleStatus": "Active", "ContractCommitmentModel": "Continuous",
    "ContractCommitmentOfferCategory": "Public", "InvoiceIssuerName": "OpenAI", "ServiceProviderName": "OpenAI",
}  # fmt: skip


def test_a_commitment_whose_terms_are_stated_is_in_1_4(tmp_path: Path) -> None:
    days = date(2026, 11, 1), date(2027, 10, 31)
    whole = known_terms("monthly", *days, checked_terms(json.dumps(STATED)))
    without = known_terms("annual", *days, checked_terms(json.dumps(STATED)))

    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1")])
        await commit(context, ("whole", "2026-11-01", "2027-11-01"), stated=whole)
        await export(context, format="csv")

    world(tmp_path, work)
    (row,) = rows_of(bundle(tmp_path), "ContractCommitment")
    assert list(row) == sorted(row)
    assert len(row) == 27
    assert (row["ContractCommitmentId"], row["ContractCommitmentCost"]) == ("whole", "1200.5")
    assert row["ContractCommitmentCreated"] == "2026-10-30T11:00:00Z"
    follow = ("DurationType", "PaymentInterval", "PaymentModel")
    assert [row[f"ContractCommitment{name}"] for name in follow] == ["1 Year", "Monthly", "No Upfront"]
    assert not any(each["dataset"] == "ContractCommitment" for each in manifest(bundle(tmp_path))["missing"])
    assert "PaymentModel" not in without, "what a yearly payment is, only the contract says"


def test_wrong_terms_are_refused_with_their_column() -> None:
    for wrong, message in (
        ("no", "is not JSON"),
        ('{"ContractCommitmentModel": 1}', "is not a JSON object of strings"),
        ('{"ContractCommitmentModel": "Steady"}', "ContractCommitmentModel is not one of Continuous, Discontinuous"),
        ('{"ContractCommitmentCreated": "2026-11-01"}', "ContractCommitmentCreated is not a time with its zone"),
        ('{"ContractCommitmentDiscountPercentage": "25"}', "is not a number from 0 to 1"),
        ('{"Model": "Continuous"}', "Model is not one of its columns: ContractCommitmentApplicability"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            checked_terms(wrong)


@pytest.mark.parametrize(
    ("first", "last", "duration"),
    [
        (date(2026, 11, 1), date(2029, 10, 31), "3 Years"),
        (date(2027, 1, 31), date(2027, 2, 27), "1 Month"),
        (date(2026, 11, 15), date(2027, 5, 14), "6 Months"),
        (date(2026, 11, 1), date(2026, 11, 20), None),
    ],
)
def test_a_duration_follows_only_from_whole_months(first: date, last: date, duration: str | None) -> None:
    assert json.loads(known_terms("upfront", first, last, None)).get("ContractCommitmentDurationType") == duration


def test_more_commitments_than_a_page_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepSource, "page_rows", 2)

    async def work(context: WorldContext) -> None:
        for count in (4, 5):
            await commit(context, *((f"c{number}", "2026-11-01", "2026-12-01") for number in range(count)))
            await export(context, version="1.3")
            assert manifest(bundle(tmp_path, "1.3"))["datasets"]["ContractCommitment"]["rows"] == count

    world(tmp_path, work)


def test_the_toolkit_accepts_the_files_and_the_bundle(tmp_path: Path) -> None:
    toolkit = required().parent / "focus-toolkit"

    def asked(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([toolkit, *words], capture_output=True, text=True, check=False)

    async def work(context: WorldContext) -> None:
        context.closed, context.recorded = [NOVEMBER], [invoice()]
        await store(context, [charge(x_ChargeId="1")])
        stated = known_terms("monthly", date(2026, 11, 1), date(2027, 10, 31), json.dumps(STATED))
        await commit(context, ("c", "2026-11-01", "2027-11-01"), stated=stated)
        for version in ("1.3", "1.4"):
            await export(context, version=version)

    world(tmp_path, work)
    for version in ("1.3", "1.4"):
        detected = asked("detect", bundle(tmp_path, version) / "CostAndUsage.parquet")
        assert version in detected.stdout, detected.stdout + detected.stderr
    contracts = bundle(tmp_path, "1.3") / "ContractCommitment.parquet"
    assert "dataset=Contract Commitment version=1.3" in asked("detect", contracts).stdout
    charges = bundle(tmp_path, "1.3") / "CostAndUsage.parquet"
    gaps = asked("gaps", "--cost-and-usage", charges, "--contract-commitment", contracts)
    assert (gaps.returncode, "NOT PRODUCIBLE" in gaps.stdout) == (0, False), gaps.stdout + gaps.stderr
    checked = asked("validate-bundle", "--directory", bundle(tmp_path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Billing Period, Contract Commitment, Cost and Usage, Invoice Detail" in checked.stdout
    for name in ("billing-period", "contract-commitment", "invoice-detail"):
        file = bundle(tmp_path) / f"{name.title().replace('-', '')}.parquet"
        linted = asked("validate", file, "--dataset", name)
        assert linted.returncode == 0, linted.stdout + linted.stderr
