"""Charges in a warehouse, exported as FOCUS files, and what the files hold."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.processors.focus.export.bundle import TABLE
from convergence.processors.generic.focus_export import get_engine
from tests.unit.processors.focus_charges import CHARGE
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

NOVEMBER = PeriodKey(date(2026, 11, 1), "OpenAI", "acc-1")
SCHEMA = TableSchemas(CONFIGS).get(TABLE)


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
    with data_file(folder, dataset).open(newline="") as file:
        return list(csv.DictReader(file))


def data_file(folder: Path, dataset: str = "CostAndUsage") -> Path:
    """Return the file that the manifest names."""
    return folder / str(manifest(folder)["datasets"][dataset]["file"])


def names_of(folder: Path) -> list[str]:
    """Return the names of all files, without the digest of those that have the right one."""
    return sorted(plain_name(path.name, path.read_bytes()) for path in folder.iterdir())


def plain_name(name: str, content: bytes) -> str:
    """Return the name of an exported file without the digest of its content."""
    return name.replace(f"-{hashlib.sha256(content).hexdigest()[:12]}.", ".")


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


STATED = {
    "ContractCommitmentApplicability": '{"IsGlobalScope":true}', "ContractCommitmentBenefitCategory": "Discount",
    "ContractCommitmentCreated": "2026-10-30T12:00:00+01:00", "ContractCommitmentDiscountPercentage": "0.25",
    "ContractCommitmentFulfillmentInterval": "Hourly", "ContractCommitmentLastUpdated": "2026-10-31T00:00:00Z",
    "ContractCommitmentLifecycleStatus": "Active", "ContractCommitmentModel": "Continuous",
    "ContractCommitmentOfferCategory": "Public", "InvoiceIssuerName": "OpenAI", "ServiceProviderName": "OpenAI",
}  # fmt: skip
