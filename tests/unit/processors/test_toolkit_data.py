"""Bills that focus-data-toolkit makes, of three clouds, through import, gate, daily costs and the export in FOCUS 1.4.

Every sum is that of the files, to the last decimal, and the toolkit's own checks judge what we export.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from convergence.config.files.reports import find_report
from convergence.domain.billing_periods import Change, PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.engine.billing import move_period, record_invoices
from tests.referees.opinions import required
from tests.unit.processors.bills import put, running
from tests.unit.processors.focus_exports import data_file
from tests.unit.processors.installation import CONFIGS, ORG, Here

CLOUDS: Final = ("aws", "azure", "gcp")
SEEDS: Final = (1, 2, 3)
ROWS: Final = 120
MAY: Final = {"start_date": "2026-05-01", "end_date": "2026-05-31"}
METRICS: Final = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingQuantity", "ConsumedQuantity")
OF_DAYS: Final = {
    "BilledCost": "billed_cost",
    "EffectiveCost": "effective_cost",
    "ListCost": "list_cost",
    "ContractedCost": "contracted_cost",
    "ConsumedQuantity": "quantity",
}
Invoiced = dict[tuple[str, str, str, str], Decimal]
Sums = dict[str, dict[str, Decimal]]  # by issuer, then by metric


def asked(*words: str | Path) -> str:
    """Return what the toolkit answers; it agrees."""
    command = [required().parent / "focus-toolkit", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


def generated(version: str, folder: Path) -> list[Path]:
    """Return a file for each cloud and seed."""
    files: list[Path] = []
    for cloud in CLOUDS:
        for seed in map(str, SEEDS):
            out = folder / f"{cloud}-{seed}"
            asked("generate", "--provider", cloud, "--focus-version", version, "--rows", str(ROWS), "--seed", seed,
                  "--out", out)  # fmt: skip
            files += out.glob("*cost_and_usage*.csv")
    return files


def added_up(rows: list[dict[str, str]]) -> Sums:
    sums: Sums = defaultdict(lambda: dict.fromkeys(METRICS, Decimal(0)))
    for row in rows:
        for name in METRICS:
            sums[row["InvoiceIssuerName"]][name] += Decimal(row[name] or 0)
    return dict(sums)


async def charged(here: Here) -> Sums:
    sums = ", ".join(f"SUM({name}) AS {name}" for name in METRICS)
    rows = await here.rows(f"SELECT InvoiceIssuerName, {sums} FROM cost_data_standard_1_3 GROUP BY 1")
    return {row["InvoiceIssuerName"]: {name: row[name] for name in METRICS} for row in rows}


async def named_invoices(here: Here) -> Invoiced:
    """Return the amounts of the report `billed_invoices` by issuer, account, invoice and category."""
    names = ("InvoiceIssuerName", "BillingAccountId", "InvoiceId", "ChargeCategory")
    rows = await here.rows(find_report(CONFIGS, "billed_invoices").sql())
    assert {(str(row["BillingPeriodStart"]), row["BillingCurrency"]) for row in rows} == {("2026-05-01", "USD")}
    amounts: Invoiced = {}
    for row in rows:
        issuer, account, invoice_id, category = (row[name] for name in names)
        amounts[issuer, account, invoice_id, category] = row["BilledCost"]
    return amounts


def invoices_of(rows: list[dict[str, str]]) -> Invoiced:
    """Return the same of the files."""
    sums: Invoiced = defaultdict(Decimal)
    for row in rows:
        key = (row["InvoiceIssuerName"], row["BillingAccountId"], row["InvoiceId"], row["ChargeCategory"])
        sums[key] += Decimal(row["BilledCost"])
    return {key: round(total, 14) for key, total in sums.items() if key[2]}


async def invoiced(here: Here, rows: list[dict[str, str]]) -> None:
    """Record the invoices that the charges name, to the cent, and close their periods."""
    services, now = here.installation.services, here.installation.services.clock.now()
    amounts: dict[tuple[str, str, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in rows:
        key = (row["InvoiceIssuerName"], row["BillingAccountId"], row["InvoiceId"])
        amounts[key]["Tax" if row["ChargeCategory"] == "Tax" else "Usage"] += Decimal(row["BilledCost"])
    invoices = [
        Invoice(
            key=PeriodKey(date(2026, 5, 1), issuer, account),
            invoice_id=invoice_id,
            currency="USD",
            lines=tuple(
                InvoiceLine(line_id=f"{invoice_id}-{category}", amount=round(amount, 2), category=category)
                for category, amount in lines.items()
            ),
            payment_terms="Net 30",
            created_at=now,
            updated_at=now,
        )
        for (issuer, account, invoice_id), lines in amounts.items()
    ]
    await record_invoices(services, ORG, invoices)
    for period in {each.key for each in invoices}:
        await move_period(services, ORG, period, Change(status="Closed", at=now, actor="test"))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sums_stay_those_of_the_files_up_to_the_export(version: str, tmp_path: Path) -> None:
    files = generated(version, tmp_path / "made")
    rows = [row for file in files for row in csv.DictReader(io.StringIO(file.read_text("utf-8")))]
    assert len(rows) == len(CLOUDS) * len(SEEDS) * ROWS
    expected = added_up(rows)
    for file in files:
        put(tmp_path, f"focus/2026-05/{file.parent.name}.csv", file.read_bytes())
    everything = {name: sum((sums[name] for sums in expected.values()), Decimal(0)) for name in METRICS}

    async def work(here: Here) -> None:
        step = (await here.good("focus/import", path="focus/%Y-%m/", **MAY))["validate_focus"]
        assert (step["rows_processed"], step["rows_written"]) == (len(rows), len(rows)), step["warnings"]
        assert await charged(here) == expected
        assert await named_invoices(here) == invoices_of(rows)

        await here.good("unified/cost", **MAY)
        sums = ", ".join(f"SUM({column}) AS {name}" for name, column in OF_DAYS.items())
        (daily,) = await here.rows(f"SELECT {sums}, COUNT(DISTINCT usage_date) AS days FROM unified_cost_daily")
        assert daily == {**{name: everything[name] for name in OF_DAYS}, "days": 31}

        await invoiced(here, rows)
        for each in ("1.3", "1.4"):
            await here.good("focus/export", focus_version=each, **MAY)

    running(tmp_path, work)
    exports = tmp_path / "files" / ORG / "exports"
    bundles = {each: exports / each / "2026-05" for each in ("1.3", "1.4")}
    for each, bundle in bundles.items():
        charges = json.loads((bundle / "manifest.json").read_text())["datasets"]["CostAndUsage"]
        assert charges["rows"] == len(rows)
        rounded = {entry["column"]: Decimal(entry["difference"]) for entry in charges["rounded"]}
        assert all(abs(difference) < Decimal("1e-12") for difference in rounded.values())
        assert {name: Decimal(sums) for name, sums in charges["sums"]["USD"].items()} == {
            name: everything[name] for name in ("BilledCost", "EffectiveCost")
        }
        assert each in asked("detect", bundle / charges["file"])
    gaps = asked("gaps", "--cost-and-usage", data_file(bundles["1.3"]))
    assert "[Cost and Usage] strictly producible from this source as-is" in gaps
    supported = ("--supports", "SupportsMultiplePricingCategories", "--supports", "SupportsUnitPricing")
    lint = {"cost-and-usage": supported, "billing-period": (), "invoice-detail": ()}
    for name, words in lint.items():
        file = data_file(bundles["1.4"], name.title().replace("-", ""))
        linted = asked("validate", file, "--dataset", name, *words)
        assert "structural+semantic lint OK" in linted
    checked = asked("validate-bundle", "--directory", bundles["1.4"])
    assert "Billing Period, Cost and Usage, Invoice Detail" in checked
