"""What an export of FOCUS has besides charges: periods, invoices and commitments, as far as they are recorded."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence.processors.genai.commitments.focus_terms import checked_terms, known_terms
from convergence.processors.generic.focus_export import StepSource
from tests.unit.processors.focus_exports import (
    NOVEMBER,
    STATED,
    bundle,
    charge,
    commit,
    data_file,
    export,
    invoice,
    manifest,
    names_of,
    rows_of,
    store,
    world,
)
from tests.unit.processors.step_world import WorldContext


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
        assert names_of(bundle(tmp_path)) == ["CostAndUsage.csv", "manifest.json"]

    world(tmp_path, work)


def test_commitments_of_the_period_are_a_data_set_of_1_3(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await store(context, [charge(x_ChargeId="1")])
        terms = [("before", "2026-10-01", "2026-11-01"), ("until", "2026-10-01", "2026-11-02")]
        terms += [("from", "2026-11-30", "2027-11-30"), ("behind", "2026-12-01", "2027-12-01")]
        await commit(context, *terms)
        await export(context, version="1.3", format="csv")
        with data_file(bundle(tmp_path, "1.3"), "ContractCommitment").open(newline="") as file:
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
        assert names_of(bundle(tmp_path, "1.3")) == ["CostAndUsage.csv", "manifest.json"]
        (missing,) = manifest(bundle(tmp_path, "1.3"))["missing"]
        assert (missing["dataset"], "no commitment" in missing["reason"]) == ("ContractCommitment", True)

    world(tmp_path, work)


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
