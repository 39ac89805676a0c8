"""What changed most, on the page of costs: the figures of the report, and the charges behind each line."""

from __future__ import annotations

import html
import re
from datetime import date
from decimal import Decimal

import pytest

from convergence.config.files.reports import find_report
from convergence.engine.daily_costs import Row, largest_changes
from convergence.engine.services import Services, dataset_of
from convergence.entry.ui.formats import money, signed
from convergence.entry.ui.views import summaries
from convergence.entry.ui.views.movers import movers
from convergence.ports.warehouse import Scope, Statement
from tests.unit.entry.ui.charges import charge
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import check

PAGE = "/ui/acme/costs?from=2026-11-01&to=2026-11-28"


def test_the_figures_are_those_of_the_report_and_lead_to_their_charges(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        rows = [
            {
                "BilledCost": Decimal((n * n) % 97 + (50 if n % 3 == 0 and n % 28 > 20 else 0)),
                "x_Model": None if n % 3 == 2 else f"model {n % 3}",
                "BillingCurrency": "EUR" if n % 11 == 0 else "USD",
            }
            for n in range(28 * 6)
        ]
        await charge(api, rows, days=range(1, 29))
        sql = find_report(api.at.services.configs_dir, "top_movers").sql()
        scope = Scope(dataset=dataset_of(api.at.services, "acme"))
        found = (await api.at.services.warehouse.query(Statement(sql, scope=scope, rows_max=100))).rows
        browser = await Browser.signed_in(api)
        page = await browser.get(PAGE)
        check(page)
        table = page.partition("Largest changes from week to week, USD")[2].partition("</table>")[0]
        shown = re.findall(r'data-label="(?:Seven days before|Last seven days|Change)">([^<]*)<', table)
        expected = [row for row in found if row["currency"] == "USD" and row["change"]]
        assert len(expected) == 3
        assert shown == [
            words for row in expected for words in (money(row["previous"]), money(row["billed"]), signed(row["change"]))
        ]
        links = re.findall(r'href="([^"]*/costs/charges[^"]*)"', table)
        for link, row in zip(links, expected, strict=True):
            charges = await browser.get(html.unescape(link))
            assert f"of {money(row['billed'] + row['previous'])} USD" in charges

    run_scenario(scenario)


def test_the_changes_are_asked_once_until_charges_change(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def counted(services: Services, org: str, latest: date) -> list[Row]:
        nonlocal asked
        asked += 1
        return await largest_changes(services, org, latest)

    monkeypatch.setattr(summaries, "largest_changes", counted)

    async def change(browser: Browser, page: str) -> str:
        table = (await browser.get(page)).partition("Largest changes")[2]
        return table.partition('data-label="Change">')[2].partition("<")[0]

    async def scenario(api: Api) -> None:
        await charge(api, [{"BilledCost": Decimal(5)}], days=(2,))
        browser = await Browser.signed_in(api)
        pages = [PAGE, "/ui/acme/costs?from=2026-11-02&to=2026-11-03", "/ui/acme/costs?from=2026-10-01&to=2026-11-03"]
        assert [await change(browser, page) for page in pages] == ["+5.00"] * 3
        assert asked == 1
        await charge(api, [{"BilledCost": Decimal(7)}], run="run_2", days=(2,))
        # A page of other days sees it too: the two weeks are looked at whatever it shows.
        assert await change(browser, "/ui/acme/costs?from=2026-10-01&to=2026-11-03") == "+7.00"
        assert asked == 2

    run_scenario(scenario)


def test_what_an_address_cannot_name_has_no_link() -> None:
    row = {"currency": "USD", "billed": Decimal(2), "previous": Decimal(1), "change": Decimal(1)}
    rows = [
        {**row, "provider": "p", "service": None, "model": ""},
        {**row, "provider": "p", "service": "s", "model": "m" * 301},
        {**row, "provider": "p", "service": "s", "model": "m", "change": Decimal(0)},
        {**row, "provider": "p", "service": "s", "model": "m", "currency": "EUR"},
    ]
    found = movers(rows, "USD", date(2026, 11, 28), longest=300)
    assert [each.query for each in found] == [None, None]
    assert movers(rows, "USD", None, longest=300) == []
