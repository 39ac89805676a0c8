"""The summaries behind the pages of costs: when they write, and that no page waits for a writer without need."""

from __future__ import annotations

from decimal import Decimal

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.engine.daily_costs import TABLE
from convergence.entry.ui.views.summaries import Summaries
from convergence.errors import StorageUnusable
from convergence.ports.warehouse import TableSchema
from tests.unit.entry.ui.charges import RANGE, charge
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario


def test_a_page_makes_no_table_itself_and_writes_nothing_where_nothing_is_new(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write waits for all earlier ones: behind a load of millions of rows the page would take as long as that."""
    ensure, writable = DuckDbWarehouse.ensure_table, False

    async def refused(warehouse: DuckDbWarehouse, dataset: str, table: TableSchema) -> None:
        if table.name == TABLE and not writable:
            raise StorageUnusable("a page writes")
        await ensure(warehouse, dataset, table)

    async def scenario(api: Api) -> None:
        nonlocal writable
        browser, page = await Browser.signed_in(api), f"/ui/acme/costs?{RANGE}"
        await charge(api, [{"BilledCost": Decimal(n)} for n in (1, 2, 3)])
        monkeypatch.setattr("convergence.entry.ui.views.summaries.AT_ONCE_MAX", 2)
        monkeypatch.setattr(DuckDbWarehouse, "ensure_table", refused)
        assert "No summary yet" in await browser.get(page)  # many charges, and no table of sums
        await api.app.state.summaries.idle("acme")  # it could not be made; the next look begins again
        writable = True
        assert "being added up" in await browser.get(page)
        await api.app.state.summaries.idle("acme")
        assert "<dd>6.00" in await browser.get(page)
        writable = False
        api.app.state.summaries = Summaries()  # as after a restart
        assert "<dd>6.00" in await browser.get(page)

    run_scenario(scenario)
