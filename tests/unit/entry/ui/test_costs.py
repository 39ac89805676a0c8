"""The pages of costs: what adds up, what a change of charges does to the daily sums, the forecast, the way down."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.config.files.reports import find_report
from convergence.domain.money import exact_sum
from convergence.domain.times import to_text
from convergence.engine.daily_costs import TABLE, changed_days, renew, summed_at, summed_costs
from convergence.engine.services import dataset_of
from convergence.entry.ui.views.forecast import BY, forecasts
from convergence.entry.ui.views.summaries import DIMENSIONS, Summaries
from convergence.ports.warehouse import Lineage, Load, Scope, Statement
from tests.unit.entry.ui.charges import RANGE, charge
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
# 32 digits: more than Python keeps of a sum unless it is told to.
LONG = Decimal("12345678901234567890.000000000001")


async def rows_of(api: Api, sql: str) -> list[dict[str, Any]]:
    """Ask the org's warehouse."""
    scope = Scope(dataset=dataset_of(api.at.services, "acme"))
    return (await api.at.services.warehouse.query(Statement(sql, scope=scope, rows_max=100_000))).rows


async def bring_up_to_date(api: Api) -> None:
    """Sum the days again whose charges have changed."""
    changed = await changed_days(api.at.services, "acme", FIRST, LAST)
    await renew(api.at.services, "acme", [each.day for each in changed])


async def write(api: Api, sql: str, job: str) -> None:
    """Change the org's tables with a statement of the tenant's own."""
    services = api.at.services
    now = services.clock.now()
    lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id=job, ingested_at=now)
    scope = Scope(dataset=dataset_of(services, "acme"), writable=True, lineage=lineage)
    await services.warehouse.query(Statement(sql, scope=scope, job_id=job))


def some_charges(seed: int, count: int = 200) -> list[dict[str, Any]]:
    """Charges of several groups; some come once, some are for a month."""
    draw = random.Random(seed)
    return [
        {
            "BilledCost": Decimal(draw.randrange(-(10**6), 10**9)).scaleb(-draw.randrange(12)),
            "x_Model": draw.choice(["a", "b", None]),
            "SubAccountName": draw.choice(["team", None]),
            "ServiceProviderName": draw.choice(["OpenAI", "Anthropic"]),
            "BillingCurrency": draw.choice(["USD", "EUR"]),
            "ChargeFrequency": draw.choice(["Usage-Based", "One-Time", None]),
            "Tags": draw.choice([None, "{}", '{"team": "search"}']),
        }
        for _ in range(count)
    ]


def test_the_daily_sums_are_those_of_the_charges_whatever_happened_to_them(run_scenario: RunScenario) -> None:
    async def same(api: Api) -> None:
        """Compare with the charges, added up one by one."""
        services = api.at.services
        await bring_up_to_date(api)
        found = {
            tuple(row[name] for name in ("day", "provider", "service", "model", "team", "currency")): (
                row["cost"], row["charges"], row["untagged"],
            )
            for row in await summed_costs(services, "acme", FIRST, LAST, by=("day", *DIMENSIONS, "currency"))
        }  # fmt: skip
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in await rows_of(api, "SELECT * FROM cost_data_standard_1_3"):
            key = (row["ChargePeriodStart"].date(), row["ServiceProviderName"], row["ServiceName"])
            groups.setdefault(
                (*key, row["x_Model"] or "", row["SubAccountName"] or "", row["BillingCurrency"]), []
            ).append(row)
        assert found == {
            key: (
                exact_sum(row["BilledCost"] for row in rows),
                len(rows),
                exact_sum(row["BilledCost"] for row in rows if row["Tags"] in (None, "", "{}")),
            )
            for key, rows in groups.items()
        }

    async def scenario(api: Api) -> None:
        await charge(api, some_charges(1), days=range(1, 20))
        await same(api)
        assert not await changed_days(api.at.services, "acme", FIRST, LAST)  # nothing has changed
        await charge(api, some_charges(2, 50), run="run_2", days=(5, 6, 25))  # other days stay
        await same(api)
        await charge(api, [], run="run_3", days=(7, 8))  # a replay found no charges there
        await same(api)
        await write(api, f"DELETE FROM {TABLE} WHERE day = '2026-11-05'", "lost")
        await same(api)
        await write(api, f"DELETE FROM {TABLE} WHERE TRUE", "emptied")
        await same(api)

    run_scenario(scenario)


def test_a_page_shows_changed_charges_at_once_and_changes_in_place_when_it_is_read_again(
    run_scenario: RunScenario,
) -> None:
    async def scenario(api: Api) -> None:
        browser, page = await Browser.signed_in(api), f"/ui/acme/costs?{RANGE}"
        await charge(api, [{"BilledCost": Decimal(n)} for n in (1, 2, 3)])
        assert "<dd>6.00" in await browser.get(page)
        await charge(api, [{"BilledCost": Decimal(100)}], run="run_2", days=(2,))
        assert "<dd>104.00" in await browser.get(page)
        await charge(api, [{"BilledCost": Decimal(1000)}], run="run_3", days=(3,))
        await browser.get("/ui/acme/costs?from=2026-11-03&to=2026-11-03")  # another range sums that day first
        assert "<dd>1,101.00" in await browser.get(page)
        await write(api, "UPDATE cost_data_standard_1_3 SET SubAccountName = 'ops' WHERE BilledCost = 100", "named")
        assert "ops" not in await browser.get(f"{page}&by=team")
        assert "ops" in await browser.get(f"{page}&by=team&fresh=true")

    run_scenario(scenario)


def test_a_page_does_not_wait_for_many_new_charges_and_says_how_old_its_figures_are(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def held(*given: Any) -> None:
        """Sum days when the test says so."""
        await gate.wait()
        await renew(*given)

    async def scenario(api: Api) -> None:
        browser, page = await Browser.signed_in(api), f"/ui/acme/costs?{RANGE}"
        await charge(api, [{"BilledCost": Decimal(n)} for n in (1, 2, 3)])
        for _ in range(2):
            first = await browser.get(page)
            assert "No summary yet" in first
            assert "New charges are being added up" in first
            assert "No charge in these days" not in first
        gate.set()
        await api.app.state.summaries.idle("acme")
        second = await browser.get(page)
        assert "<dd>6.00" in second
        assert "being added up" not in second
        api.app.state.summaries = Summaries()  # as after a restart
        await charge(api, [{"BilledCost": Decimal(n)} for n in (100, 200, 300)], run="run_2")
        summed = await summed_at(api.at.services, "acme")
        assert summed is not None
        gate.clear()
        for _ in range(2):  # from the table of sums, then from what the process keeps
            before = await browser.get(page)
            assert "<dd>6.00" in before
            assert f'Summary of <time datetime="{to_text(summed)}"' in before
            assert "being added up" in before
        gate.set()
        file = await browser.get(f"/ui/acme/costs.csv?{RANGE}")  # waits for all charges
        assert sorted(line.split(",")[6] for line in file.splitlines()[1:]) == ["100", "200", "300"]
        await api.app.state.summaries.idle("acme")
        after = await browser.get(page)
        assert "<dd>600.00" in after
        assert "being added up" not in after

    monkeypatch.setattr("convergence.entry.ui.views.summaries.AT_ONCE_MAX", 2)
    monkeypatch.setattr("convergence.entry.ui.views.summaries.renew", held)
    run_scenario(scenario)


@pytest.mark.parametrize("seed", range(2))
def test_the_forecast_is_that_of_the_report(run_scenario: RunScenario, seed: int) -> None:
    async def scenario(api: Api) -> None:
        services = api.at.services
        await charge(api, some_charges(seed), days=range(1, 12 + seed))
        await charge(api, [], run="warm", days=(29,))
        report = await rows_of(api, find_report(services.configs_dir, "forecast").sql())
        await bring_up_to_date(api)
        rows = await summed_costs(services, "acme", FIRST, LAST, by=BY)
        found = [each for currency in ("EUR", "USD") for each in forecasts(rows, currency)]
        assert [(each.currency, each.provider, each.charged_until, each.billed, each.forecast) for each in found] == [
            (row["currency"], row["provider"], row["charged_until"], row["billed"], row["forecast"]) for row in report
        ]
        assert any(each.forecast > each.billed for each in found)
        page = await (await Browser.signed_in(api)).get("/ui/acme/costs?from=2026-11-01&to=2026-11-30&currency=USD")
        assert "Forecast of November 2026" in page
        assert f"about {max(each.forecast for each in found if each.currency == 'USD'):,.2f}" in page

    run_scenario(scenario)


def test_a_year_of_costs_has_a_bar_for_each_week_and_stays_small(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        rows = [{"BilledCost": Decimal(n + 1), "x_Model": f"model {n % 7}"} for n in range(7 * 28)]
        await charge(api, rows, days=range(1, 29))
        browser = await Browser.signed_in(api)
        page = await browser.get("/ui/acme/costs?from=2025-11-30&to=2026-11-30&by=model")
        check(page)
        assert page.count("<g><title>") == 54  # from a Sunday to a Monday: 52 whole weeks and two parts
        assert "Cost per week by model" in page
        table = page.partition("Chart as a table")[2].partition("</table>")[0]
        first = sum(n + 1 for n in range(7 * 28) if n % 28 == 0)  # 1 November is a Sunday
        assert "to Sun 1 Nov</a></th>" in table
        assert table.partition("to Sun 1 Nov</a>")[2].partition("</tr>")[0].endswith(f">{first:,}.00</td>")
        assert table.count("/costs/charges?from=") == 54
        month = await browser.get("/ui/acme/costs?from=2026-11-01&to=2026-11-30&by=model")
        assert "Cost per day by model" in month
        assert month.partition("Chart as a table")[2].partition("</thead>")[0].count("<bdi>") == 5  # four and the rest

    run_scenario(scenario)


def test_the_page_of_a_run_says_what_its_charges_cost(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        given = {"file": "openai/seed/subscription_plans.csv", "date": "2026-11-02"}
        first, second = [(await api.run("shop/broken", json=given))["run_id"] for _ in range(2)]
        amounts = {"USD": ("0.1", "0.2"), "EUR": ("77.77",)}
        rows = [
            {"BilledCost": Decimal(text), "BillingCurrency": currency}
            for currency, texts in amounts.items()
            for text in texts
        ]
        await charge(api, rows, run=first, days=(1, 2))
        browser = await Browser.signed_in(api)
        page = await browser.get(f"/ui/acme/runs/{first}")
        assert [re.search(rf"<dd>{text}", page) is not None for text in ("0.30 USD", "77.77 EUR")] == [True, True]
        assert "in 2 charges" in page
        assert "<dt>Cost</dt>" not in await browser.get(f"/ui/acme/runs/{second}")
        await charge(api, rows[:1], run=second, days=(1, 2))  # replaces them
        assert "<dt>Cost</dt>" not in await browser.get(f"/ui/acme/runs/{first}")

    run_scenario(scenario)


def test_sums_keep_every_digit(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await charge(api, [{"BilledCost": LONG}, {"BilledCost": LONG}, {"BilledCost": Decimal("0.5")}], days=(1,))
        file = await (await Browser.signed_in(api)).get(f"/ui/acme/costs.csv?{RANGE}")
        assert "24691357802469135780.500000000002,3," in file

    run_scenario(scenario)


def test_costs_add_up_exactly_and_never_over_currencies(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await charge(
            api,
            [
                {
                    "BilledCost": Decimal("0.1"),
                    "x_Model": "gpt-5",
                    "Tags": '{"team": "search"}',
                    "SubAccountName": "search",
                },
                {"BilledCost": Decimal("0.2"), "x_Model": "gpt-5"},
                {"BilledCost": Decimal("1000.005"), "x_Model": "=HYPERLINK(1)", "SubAccountName": "<b>web</b>"},
                {"BilledCost": Decimal("77.77"), "BillingCurrency": "EUR", "x_Model": "gpt-5"},
            ],
        )
        browser = await Browser.signed_in(api)
        text = await browser.get(f"/ui/acme/costs?{RANGE}&by=model")
        assert "<dd>1,000.31" in text or "<dd>1,000.30" in text
        assert "3 charges" in text
        assert "77.77" not in text
        euros = await browser.get(f"/ui/acme/costs?{RANGE}&currency=EUR")
        assert "<dd>77.77" in euros
        file = await browser.get(f"/ui/acme/costs.csv?{RANGE}&currency=USD")
        assert "0.1,1,0" in file
        assert "'=HYPERLINK(1)" in file
        assert file.count("\n") == 4
        assert "&lt;b&gt;web" in await browser.get(f"/ui/acme/costs?{RANGE}&by=team")
        only = await browser.get(f"/ui/acme/costs?{RANGE}&model=gpt-5")
        assert "2 charges" in only
        charges = await browser.get(f"/ui/acme/costs/charges?{RANGE}&model=gpt-5")
        assert charges.count("data-move") == 3
        assert "0.1 USD" in charges

    run_scenario(scenario)


def test_cost_by_team_is_shown_with_what_belongs_to_none(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await charge(api, [{"BilledCost": Decimal(9)}])
        browser = await Browser.signed_in(api)
        assert "Allocated to teams" not in await browser.get(f"/ui/acme/costs?{RANGE}")
        services = api.at.services
        table = services.schemas.get("unified_cost_daily")
        await services.warehouse.ensure_table(dataset_of(services, "acme"), table)
        fixed = {"provider": "openai", "service": "API", "model": "", "charge_category": "Usage", "account_id": "a",
                 "allocation_ratio": Decimal(1), "effective_cost": Decimal(0), "charge_date": FIRST,
                 "charge_id": "charge_000", "source_credential_id": ""} | {"provider": ""}  # fmt: skip
        parts = [(HOSTILE, 5, "USD", FIRST), (None, 3, "USD", LAST), ("Other", 5, "EUR", FIRST)]
        rows = [
            {**fixed, "team": team, "billed_cost": Decimal(cost), "currency": currency, "usage_date": day}
            for team, cost, currency, day in parts
        ]
        stage = services.warehouse.stage(dataset_of(services, "acme"), table, "teams")
        await stage.write(0, rows)
        now = services.clock.now()
        lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id="r", ingested_at=now)
        load = Load(
            job_id="teams",
            dataset=dataset_of(services, "acme"),
            table=table,
            lineage=lineage,
            dates=(FIRST, LAST),
            date_field="usage_date",
        )
        await services.warehouse.load(load, stage)
        page = await browser.get(f"/ui/acme/costs?{RANGE}")
        section = page.partition("Allocated to teams")[2].partition("</section>")[0]
        check(page)
        assert [float(each) for each in re.findall(r"<td class=\"num\">\D*([\d.]+)</td>", section)] == [5, 3, 1, 9]
        assert section.index("Unallocated") < section.index("Not read yet")
        assert "33" in section

    run_scenario(scenario)


def test_charges_are_paged_by_their_id(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await charge(api, [{"BilledCost": Decimal(n), "x_Model": f"m{n}"} for n in range(60)])
        browser = await Browser.signed_in(api)
        first = await browser.get(f"/ui/acme/costs/charges?{RANGE}")
        assert first.count("data-move") == 50
        after = re.search(r'href="(\?[^"]*after=[^"]*)" rel="next"', first)
        assert after is not None
        assert (await browser.get("/ui/acme/costs/charges" + after[1].replace("&amp;", "&"))).count("data-move") == 10

    run_scenario(scenario)


def test_raw_rows_are_shown_of_the_orgs_own_tables_only(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        for table in ("globex_dev.cost_data_standard_1_3", "x`; DROP TABLE y; --", "INFORMATION_SCHEMA.TABLES", "none"):
            await browser.get("/ui/acme/costs/raw", 422, params={"table": table, "rows": "r1"})
        for wrong in ("from=2026-13-01", "from=2026-11-03&to=2026-11-01", "from=2020-01-01&to=2026-01-01", "by=secret"):
            await browser.get(f"/ui/acme/costs?{wrong}", 422)

    run_scenario(scenario, orgs=("acme", "globex"))


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_raw_rows_of_a_provider_leave_the_page_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        services = api.at.services
        now, table = services.clock.now(), services.schemas.get("openai_usage_daily_raw")
        dataset = dataset_of(services, "acme")
        fixed = {column.name: text for column in table.columns if column.type == "STRING"}
        missing = {
            column.name: {"DATE": now.date(), "TIMESTAMP": now}.get(column.type, 1)
            for column in table.columns
            if column.mode == "REQUIRED" and column.type != "STRING"
        }
        row = {name: value for name, value in {**missing, **fixed}.items() if not name.startswith("x_")}
        stage = services.warehouse.stage(dataset, table, "s1")
        await stage.write(0, [{**row, "row_id": "r1"}])
        lineage = Lineage(org_slug="acme", pipeline_id="p", credential_id="", run_id="run_1", ingested_at=now)
        load = Load(job_id="j1", dataset=dataset, table=table, lineage=lineage, dates=(now.date(),))
        await services.warehouse.load(load, stage)
        await charge(api, [{"BilledCost": Decimal(1), "x_SourceTable": table.name, "x_SourceRowId": "r1"}])
        browser = await Browser.signed_in(api)
        listed = check(await browser.get(f"/ui/acme/costs/charges?{RANGE}"))
        (link,) = [value for name, value in listed.attributes if name == "href" and value and "costs/raw" in value]
        page = await browser.get(str(link))
        check(page)
        assert "1 row of" in page

    run_scenario(scenario)
