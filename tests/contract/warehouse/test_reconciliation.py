"""Charges, bills and invoices are compared alike on every warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.engine.reconciliation import reconciliation
from convergence.engine.services import INDEXES
from convergence.ports.warehouse import Warehouse
from convergence.tenants.billing import BillingStore
from tests.contract.warehouse.world import Body, StoppedClock, a_lineage, load
from tests.unit.processors.focus_charges import CHARGE
from tests.unit.processors.step_world import CONFIGS

DAY = date(2026, 11, 10)
SCHEMAS = TableSchemas(CONFIGS)
TRACKED: dict[str, Any] = {
    "usage_date": DAY, "provider": "openai", "billed_cost": Decimal(15), "computed_cost": Decimal(12),
    "difference": Decimal(3), "currency": "USD", "class": "late_data", "state": "late",
    "threshold_amount": Decimal(1), "threshold_ratio": Decimal(1), "checked_at": datetime(2026, 11, 12, tzinfo=UTC),
}  # fmt: skip


def test_the_three_sides_are_read_alike_everywhere(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        documents = SqliteDocuments(":memory:", StoppedClock(), indexes=INDEXES)
        services = cast("Any", SimpleNamespace(warehouse=warehouse, schemas=SCHEMAS, documents=documents, env="prod"))
        first, last = date(2026, 11, 1), date(2026, 11, 30)
        assert await reconciliation(services, "acme", first, last) == []
        tax = {"ChargeCategory": "Tax", "BilledCost": Decimal("2.28")}
        residual = {"x_CostOrigin": "residual", "BilledCost": Decimal(3)}
        december = {"BillingPeriodStart": "2026-12-01T00:00:00Z", "BillingPeriodEnd": "2027-01-01T00:00:00Z"}
        late = {**december, "BilledCost": Decimal(2), "ChargeClass": "Correction", "x_CorrectedPeriodStart": first}
        seats = {"BilledCost": Decimal(50), "BillingAccountId": "acme", "x_UsageKind": "subscription"}
        changes: list[dict[str, Any]] = [{}, {"x_ChargeId": "c2"}, tax, residual, late, seats]
        rows = [{**CHARGE, **each} for each in changes]
        await load(warehouse, SCHEMAS.get("cost_data_standard_1_3"), rows, dates=(DAY,))
        tracking = SCHEMAS.get("org_cost_tracking")
        older = {**TRACKED, "difference": Decimal(9), "checked_at": datetime(2026, 11, 11, tzinfo=UTC)}
        await load(warehouse, tracking, [TRACKED], job_id="j2", dates=(DAY,))
        await load(
            warehouse, tracking, [older], job_id="j3", dates=(DAY,), lineage=a_lineage(pipeline_id="p0", run_id="r0")
        )
        own, other = await reconciliation(services, "acme", first, last)
        assert (own.rows, own.computed, own.billed, own.difference) == (3, 14, 15, 1), "with what is billed in December"
        assert (own.reasons, own.unexplained, own.state) == ({"late_data": 3}, -2, "within")
        assert (other.subject.account, other.computed, other.billed) == ("acme", 50, None)
        (next_month,) = await reconciliation(services, "acme", date(2026, 12, 1), date(2026, 12, 31))
        assert (next_month.subject.month, next_month.computed) == (date(2026, 12, 1), 0)
        at = datetime(2026, 12, 1, tzinfo=UTC)
        lines = (
            InvoiceLine(line_id="1", amount=Decimal("15.5")),
            InvoiceLine(line_id="2", amount=Decimal("2.28"), category="Tax"),
        )
        key = PeriodKey(first, "OpenAI", "acc-1")
        invoice = Invoice(key=key, invoice_id="I1", currency="USD", lines=lines, created_at=at, updated_at=at)
        await BillingStore(documents).add("acme", [invoice])
        found, _ = await reconciliation(services, "acme", first, last)
        assert (found.subject.account, found.rows, found.computed) == ("acc-1", 2, 12), "the residual is on no side"
        assert (found.billed, found.invoiced, found.difference) == (15, Decimal("15.5"), Decimal("3.5"))
        assert (found.reasons, found.unexplained, found.state) == ({"late_data": 3}, Decimal("0.5"), "explained")
        assert (found.computed_tax, found.tax_state) == (Decimal("2.28"), "matched")
        documents.close()

    run(body)
