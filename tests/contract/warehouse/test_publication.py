"""What is published and what is withheld, as views on every warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Literal, cast

from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import Change, PeriodKey
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.engine.billing import move_period, record_invoices, void_invoice
from convergence.engine.publication import publish_periods
from convergence.engine.services import INDEXES
from convergence.ports.warehouse import Scope, Statement, Warehouse
from tests.contract.warehouse.world import Body, StoppedClock, load
from tests.unit.processors.focus_charges import CHARGE
from tests.unit.processors.step_world import CONFIGS

SCHEMAS = TableSchemas(CONFIGS)
DAY, MONTH = date(2026, 11, 10), date(2026, 11, 1)
KEY = PeriodKey(MONTH, "OpenAI", "acc-1")
NOT_CLOSED = "the billing period is not closed"


def test_closed_and_reconciled_periods_are_shown_and_all_others_have_a_reason(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        clock = StoppedClock()
        documents = SqliteDocuments(":memory:", clock, indexes=INDEXES)
        services = cast(
            "Any",
            SimpleNamespace(
                warehouse=warehouse, schemas=SCHEMAS, documents=documents, env="prod", clock=clock, ids=RandomIds(),
                configs_dir=CONFIGS,
            ),
        )  # fmt: skip
        scope = Scope(dataset="acme_prod")

        async def seen() -> tuple[list[str], dict[str, str]]:
            shown = "SELECT x_ChargeId FROM cost_data_published ORDER BY x_ChargeId"
            rows = (await warehouse.query(Statement(shown, scope=scope))).rows
            withheld = (await warehouse.query(Statement("SELECT * FROM cost_data_withheld", scope=scope))).rows
            return [row["x_ChargeId"] for row in rows], {row["account"]: row["reason"] for row in withheld}

        async def move(status: Literal["Open", "Closed"]) -> None:
            change = Change(status=status, at=clock.now(), actor="test", reason="restated")
            await move_period(services, "acme", KEY, change)

        assert await publish_periods(services, "acme", [MONTH]) == [], "an org without charges"
        charges = SCHEMAS.get("cost_data_standard_1_3")
        rows = [
            {**CHARGE, "x_ChargeId": f"c{n}", "BillingAccountId": account}
            for n, account in enumerate(("acc-1", "acc-1", "b"))
        ]
        await load(warehouse, charges, rows, dates=(DAY,))
        await publish_periods(services, "acme", [MONTH])
        assert await seen() == ([], {"acc-1": NOT_CLOSED, "b": NOT_CLOSED})

        await move("Closed")
        assert await seen() == (
            [],
            {"acc-1": "openai: there is neither a bill nor an invoice to compare with", "b": NOT_CLOSED},
        )

        def invoice(name: str, amount: str) -> Invoice:
            line = InvoiceLine(line_id="1", amount=Decimal(amount))
            return Invoice(
                key=KEY, invoice_id=name, currency="USD", lines=(line,), created_at=clock.now(), updated_at=clock.now()
            )

        await record_invoices(services, "acme", [invoice("I1", "14")])
        shown, withheld = await seen()
        assert (shown, withheld["acc-1"]) == (
            [],
            "openai: the difference of 2 USD is over the tolerance of 1, 2 of it unexplained",
        )
        await record_invoices(services, "acme", [invoice("I2", "-2")])
        assert await seen() == (["c0", "c1"], {"b": NOT_CLOSED})

        more = [*rows, {**CHARGE, "x_ChargeId": "c9", "BilledCost": Decimal(0)}]
        await load(warehouse, charges, more, job_id="j2", dates=(DAY,))
        shown, withheld = await seen()
        assert (shown, "have changed since" in withheld["acc-1"]) == ([], True), (
            "a charge that came behind the decision"
        )
        await publish_periods(services, "acme", [MONTH])
        assert await seen() == (["c0", "c1", "c9"], {"b": NOT_CLOSED})

        await void_invoice(services, "acme", "OpenAI", "I2")
        assert (await seen())[0] == []
        await record_invoices(services, "acme", [invoice("I3", "-2")])
        await move("Open")
        assert await seen() == ([], {"acc-1": NOT_CLOSED, "b": NOT_CLOSED})
        documents.close()

    run(body)
