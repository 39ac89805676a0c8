"""Every report on every warehouse: as a statement and as a view, with exact figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from convergence.config.files.reports import Days, load_reports
from convergence.config.files.schemas.table import load_table_schema
from convergence.ports.warehouse import Statement, Warehouse
from tests.contract.warehouse.charges import CONFIGS, FOCUS, NOVEMBER, UNIFIED, charge
from tests.contract.warehouse.world import READ, WRITE, Body, a_lineage, load

TRACKING: Final = load_table_schema(CONFIGS / "system/schemas/org_cost_tracking.json")
OCTOBER: Final = date(2026, 10, 1)
CHARGES: Final = [
    charge(date(2026, 10, 31), "3.10", InvoiceId="INV-1"),
    charge(date(2026, 10, 31), "5", ServiceName="Batch"),  # not charged any more in November
    charge(date(2026, 11, 1), "0.000000000000000001", Tags='{"team":"a"}'),
    charge(date(2026, 11, 10), "10", x_UserId="u1", x_hierarchy_path="/a"),
    charge(date(2026, 11, 10), "7", ChargeFrequency="One-Time", ChargeCategory="Purchase", PricingQuantity=None),
    charge(
        date(2026, 11, 10),
        "4",
        CommitmentDiscountId="c1",
        CommitmentDiscountStatus="Used",
        x_Model="gpt-5-mini",
        PricingQuantity=Decimal(8),
        ListCost=None,
    ),
    charge(date(2026, 11, 10), "1", CommitmentDiscountId="c1", CommitmentDiscountStatus="Unused", PricingQuantity=None),
    charge(date(2026, 11, 10), "2", BillingCurrency="EUR", CommitmentDiscountId="c2"),  # nothing measures its use
]


def compared(hour: int, computed: str) -> dict[str, Any]:
    """What one comparison of a day with the bill said."""
    return {
        "usage_date": NOVEMBER, "provider": "openai", "billed_cost": Decimal(10), "computed_cost": Decimal(computed),
        "difference": 10 - Decimal(computed), "currency": "USD", "class": "price", "state": "over",
        "threshold_amount": Decimal("0.01"), "threshold_ratio": Decimal("0.01"), "explanation": "",
        "checked_at": datetime(2026, 11, 2, hour, tzinfo=UTC),
    }  # fmt: skip


async def of_days(warehouse: Warehouse, name: str, first: date | None, last: date | None) -> list[dict[str, Any]]:
    """Return the rows of a report of some days only."""
    columns = {each.name: [column.name for column in each.columns] for each in (FOCUS, TRACKING, UNIFIED)}
    sql = load_reports(CONFIGS)[name].sql_of_days(Days(first, last), columns.__getitem__)
    return (await warehouse.query(Statement(sql, scope=READ))).rows


async def answers(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every report; its view has the same."""
    found = {}
    for name, report in load_reports(CONFIGS).items():
        found[name] = (await warehouse.query(Statement(report.sql(), scope=READ))).rows
        await warehouse.query(Statement(report.view("acme_prod"), scope=WRITE))
        view = await warehouse.query(Statement(f"SELECT * FROM report_{name}", scope=READ))
        assert sorted(map(str, view.rows)) == sorted(map(str, found[name])), name
    return found


def test_reports_have_the_same_figures_everywhere(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        for table in (FOCUS, TRACKING, UNIFIED):
            await warehouse.ensure_table("acme_prod", table)
        assert set(map(len, (await answers(warehouse)).values())) == {0}, "nothing charged, nothing shown"
        await load(warehouse, FOCUS, CHARGES)
        earlier = a_lineage(pipeline_id="acme-earlier", run_id="r0")
        await load(warehouse, TRACKING, [compared(3, "9.5")], job_id="j2")
        await load(warehouse, TRACKING, [compared(1, "2")], job_id="j3", lineage=earlier)
        _figures(await answers(warehouse))

        for name in load_reports(CONFIGS):
            assert await of_days(warehouse, name, date(2026, 12, 1), None) == [], name
        (october,) = await of_days(warehouse, "savings", None, date(2026, 10, 31))
        assert (october["month"], october["effective"]) == (OCTOBER, Decimal("8.10"))
        first, euro = await of_days(warehouse, "by_account", date(2026, 11, 1), date(2026, 11, 10))
        assert sorted([first["billed"], euro["billed"]]) == [2, Decimal("22.000000000000000001")]
        assert await of_days(warehouse, "by_account", date(2026, 11, 2), date(2026, 11, 9)) == []
        assert len(await of_days(warehouse, "forecast", date(2026, 10, 1), date(2026, 10, 31))) == 1
        assert len(await of_days(warehouse, "computed_against_billed", NOVEMBER, NOVEMBER)) == 1

    run(body)


def ratio(value: Any) -> Decimal:
    """The stand-in divides BIGNUMERICs as floats."""
    return Decimal(str(value))


def _figures(found: dict[str, list[dict[str, Any]]]) -> None:
    total = sum((row["BilledCost"] for row in CHARGES), Decimal(0))
    for name in ("allocation", "by_service", "by_model", "by_team", "by_account", "by_user", "untagged"):
        assert sum(row["billed"] for row in found[name]) == total, name
    assert {row["team"]: row["billed"] for row in found["by_team"] if row["currency"] == "USD"}["/a"] == 10
    (invoice,) = found["billed_invoices"]
    assert (invoice["InvoiceId"], invoice["BilledCost"]) == ("INV-1", Decimal("3.10"))
    (euro,) = [row for row in found["by_service"] if row["currency"] == "EUR"]
    assert (euro["month"], euro["billed"], euro["charges"]) == (NOVEMBER, 2, 1)

    november = {row["service"]: row for row in found["month_over_month"] if row["month"] == NOVEMBER}
    gone = november["Batch"]
    assert (gone["billed"], gone["previous"], gone["change"], gone["change_ratio"]) == (0, 5, -5, -1)
    assert {row["month"] for row in found["month_over_month"]} == {OCTOBER, NOVEMBER}

    spent = Decimal("22.000000000000000001")
    forecast = {row["currency"]: row for row in found["forecast"]}
    assert forecast["USD"]["billed"] == spent
    assert forecast["USD"]["forecast"] == 22 + 15 * 2, "15 in ten days go on for twenty; the purchase does not"
    assert forecast["EUR"]["forecast"] == 6

    movers = [row for row in found["top_movers"] if row["currency"] == "USD"]
    assert sum(row["billed"] for row in movers) == 22
    assert sum(row["previous"] for row in movers) == Decimal("8.100000000000000001")
    assert abs(movers[0]["change"]) == max(abs(row["change"]) for row in movers)
    untagged = {(row["month"], row["currency"]): row for row in found["untagged"]}[NOVEMBER, "USD"]
    assert untagged["billed"] - untagged["untagged"] == Decimal("0.000000000000000001")

    used, unknown = found["commitment_utilisation"]
    assert (used["used"], used["unused"], used["unmeasured"]) == (4, 1, 0)
    assert ratio(used["utilisation"]) == Decimal("0.8")
    assert (unknown["effective"], unknown["used"], unknown["unused"]) == (2, None, None)
    assert (unknown["unmeasured"], unknown["utilisation"]) == (2, None)
    coverages = {(row["month"], row["currency"]): row for row in found["commitment_coverage"]}
    coverage, of_unknown = coverages[NOVEMBER, "USD"], coverages[NOVEMBER, "EUR"]
    assert (coverage["covered"], coverage["unmeasured"], ratio(coverage["coverage"])) == (4, 0, Decimal("0.2857"))
    assert (of_unknown["covered"], of_unknown["unmeasured"], of_unknown["coverage"]) == (0, 2, None)
    units = {(row["month"], row["model"], row["currency"]): row for row in found["unit_cost"]}
    assert units[NOVEMBER, "gpt-5-mini", "USD"]["unit_cost"] == Decimal("0.5")
    saved = {(row["month"], row["currency"]): row for row in found["savings"]}[NOVEMBER, "USD"]
    assert (saved["list"], saved["unpriced"]) == (spent - 4, 1)
    (bill,) = found["computed_against_billed"]
    assert (bill["computed"], bill["billed"], bill["difference"]) == (Decimal("9.5"), 10, Decimal("0.5"))
