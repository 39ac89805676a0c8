"""From a figure on the page of costs to its charges: the same ones, all of them, each once."""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from convergence.entry.ui.formats import money, signed
from tests.unit.entry.ui.charges import RANGE, charge
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario

CHARGED = re.compile(r"([\d,]+) charges? of ([^ <]+) (\w+)")


def links(page: str) -> list[str]:
    """The links to charges that a page has."""
    return [unescape(each) for each in re.findall(r'href="([^"]*/costs/charges\?[^"]*)"', page)]


def test_each_link_leads_to_the_charges_of_its_figure(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        rows: list[dict[str, Any]] = [
            {
                "BilledCost": Decimal(n + 1),
                "x_Model": f"model {n % 2}",
                "ServiceProviderName": ("OpenAI", "Anthropic")[n % 3 == 0],
                "BillingCurrency": ("USD", "EUR")[n % 5 == 0],
                "SubAccountName": ("search", None)[n % 4 == 0],
                "Tags": ('{"env": "prod"}', "{}", None)[n % 3],
            }
            for n in range(60)
        ]
        await charge(api, rows)
        browser = await Browser.signed_in(api)
        for by in ("model", "team"):
            page = await browser.get(f"/ui/acme/costs?{RANGE}&provider=OpenAI&by={by}&currency=EUR")
            total = re.search(r"<dt>Charged</dt><dd>([\d,.]+)<", page)
            assert total is not None
            found = {}
            for link in links(page):
                charges = CHARGED.findall(await browser.get(link))
                assert {currency for _, _, currency in charges} <= {"EUR"}, link
                found[link] = sum((Decimal(each[1].replace(",", "")) for each in charges), Decimal(0))
            whole = Decimal(total[1].replace(",", ""))
            expected = [row for n, row in enumerate(rows) if n % 5 == 0 and n % 3]
            assert whole == sum(row["BilledCost"] for row in expected) == max(found.values())
            daily = [amount for link, amount in found.items() if link.count("2026-11-01") != 1]
            assert len(daily) >= 1
            untagged = next(amount for link, amount in found.items() if "without=tags" in link)
            assert untagged == sum(row["BilledCost"] for row in expected if row["Tags"] in (None, "{}"))
            unallocated = next(amount for link, amount in found.items() if "without=team" in link)
            assert unallocated == sum(row["BilledCost"] for row in expected if row["SubAccountName"] is None)
        await browser.get(f"/ui/acme/costs/charges?{RANGE}&without=anything", 422)

    run_scenario(scenario)


def test_charges_that_share_an_id_or_have_none_are_each_shown_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        ids = [None] * 70 + ["same"] * 60 + [f"own {n}" for n in range(20)]
        await charge(api, [{"BilledCost": Decimal(n + 1), "x_ChargeId": id_} for n, id_ in enumerate(ids)])
        browser = await Browser.signed_in(api)
        path, shown = f"/ui/acme/costs/charges?{RANGE}", []
        for _ in range(9):
            page = await browser.get(path)
            assert CHARGED.findall(page) == [("150", "11,325.00", "USD")]
            shown += re.findall(r'<td class="num">(\d+) USD</td>', page)
            older = re.search(r'href="(\?[^"]*)" rel="next"', page)
            if older is None:
                break
            path = "/ui/acme/costs/charges" + unescape(older[1])
        assert sorted(map(int, shown)) == list(range(1, 151))

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("amount", "shown", "with_sign"),
    [
        ("1912.4", "1,912.40", "+1,912.40"),
        ("-41.265", "−41.26", "−41.26"),
        ("0.0031", "0.0031", "+0.0031"),
        ("0.00004", "< 0.0001", "< 0.0001"),
        ("-0.00004", "> −0.0001", "> −0.0001"),
        ("0", "0.00", "0.00"),
        ("12345678901234567890123456789012.34", "12,345,678,901,234,567,890,123,456,789,012.34", None),
    ],
)
def test_what_is_there_is_not_shown_as_nothing(amount: str, shown: str, with_sign: str | None) -> None:
    assert money(Decimal(amount)) == shown
    assert signed(Decimal(amount)) == (with_sign or f"+{shown}")
