"""`focus.allocate`: every charge by day and team, its parts add up to it to the last digit, and the rest is shown."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.reports import Days, find_report
from convergence.config.processors import ps_types
from convergence.entry.ui.views.cost_queries import ALLOCATED, days
from tests.unit.processors.focus_charges import VISIBLE, asked, charge
from tests.unit.processors.step_world import CONFIGS, FIRST, LAST, ManualClock, WorldContext

TABLE = "unified_cost_daily"
METRICS = {
    "billed_cost": "BilledCost",
    "effective_cost": "EffectiveCost",
    "list_cost": "ListCost",
    "contracted_cost": "ContractedCost",
    "quantity": "ConsumedQuantity",
}
Rows = Sequence[Mapping[str, Any]]


def world(rules: str, folder: Path, work: Callable[[WorldContext], Awaitable[None]]) -> None:
    """Run with the shipped configs and these rules for the org."""
    for name in ("focus", "unified"):
        shutil.copytree(CONFIGS / name, folder / name)
    (folder / "allocation").mkdir()
    (folder / "allocation/acme.yml").write_text(f"allocation:{rules}" if rules else "allocation: []\n")

    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(WorldContext(None, warehouse, clock, configs_dir=folder))
        finally:
            warehouse.close()

    asyncio.run(main())


async def charged(context: WorldContext, rows: Rows) -> None:
    stage = context.warehouse.stage(VISIBLE)
    await stage.write(0, rows)
    await context.warehouse.load(stage, dates=[FIRST])


async def allocated(context: WorldContext, first: date = FIRST, last: date = LAST) -> Mapping[str, Any]:
    context.start_date, context.end_date, context.run_id = first, last, f"{context.run_id}x"
    await context.warehouse.sync_routines("sp_unified_allocate_cost")
    step = {"config": {}, "destination": {"table": TABLE}}
    answer: Mapping[str, Any] = await ps_types.load("focus.allocate").execute(step, context)
    return answer


async def by_team(context: WorldContext, cost: str = "billed_cost") -> dict[str | None, Decimal]:
    rows = await asked(context, f"SELECT team, SUM({cost}) AS cost FROM {TABLE} GROUP BY team")
    return {row["team"]: row["cost"] for row in rows}


def spanning(number: int, days: int, **changes: Any) -> dict[str, Any]:
    """A charge of so many days, from the first one on."""
    return charge(number, ChargePeriodEnd=f"{FIRST + timedelta(days=days)}T00:00:00Z", **changes)


RULES = """
  - {name: shared, when: {tags: {app: [gateway, proxy]}}, split_by_share: {teams: {Search: 1, Ads: 1}, of: 3}}
  - {name: pool, when: {services: [Pool]}, split_by_usage: {unit: Tokens, services: [OpenAI API]}}
  - {name: tag, team_of_tag: Team}
  - {name: vertex, when: {providers: [vertex], projects: [p7, p8]}, team: Models}
  - {name: node, team_of_hierarchy: true}
"""


def test_the_first_rule_that_fits_decides_and_the_rest_is_unallocated(tmp_path: Path) -> None:
    rows = [
        charge(1, Tags='{"user:team": "Ads", "app": "other"}'),
        charge(2, Tags='{"App":"gateway","team":"Ads"}', BilledCost=Decimal(1)),
        charge(3, Tags='{"note": "\\"team\\": \\"Ads\\"", "n": 1}'),  # a value that looks like a tag
        charge(4, Tags=r'{"team": "R\u0026D \"x\""}'),
        charge(5, Tags="{}", AllocatedTags='{"team": "Search"}'),  # of a split that the provider made
        charge(7, x_Provider="vertex"),
        charge(8, x_Provider="gcp", x_hierarchy_path="Eng / Models"),
        charge(9, Tags='{"team": ""}'),
        charge(10, BilledCost=Decimal(1), Tags='{"team": "Ads"}', AllocatedTags='{"team": "Search"}'),
        charge(11, BilledCost=Decimal(1), Tags='{"x": {"team": "Ads", "y": ["}"]}, "Team": "Search"}'),
        charge(12, BilledCost=Decimal(1), Tags='{"x": {"team": "Ads"}, "team": " "}'),
    ]

    async def work(context: WorldContext) -> None:
        await charged(context, rows)
        answer = await allocated(context)
        third = Decimal("0.333333333333")
        assert await by_team(context) == {
            "Ads": 6 + Decimal("0.333333333334"),
            "Search": 8 + third,
            'R&D "x"': 6,
            "Models": 6,
            "Eng / Models": 6,
            None: 13 + third,
        }
        found = {each["rule"]: each for each in answer["allocated"]}
        assert found[""] == {"rule": "", "currency": "USD", "cost": "0", "unallocated": "13"}
        assert found["shared"]["unallocated"] == str(third)
        assert answer["warnings"] == [
            "the allocation rule pool matches no charge of 2026-11-10 to 2026-11-19; compare its names with the charges"
        ]

    world(RULES, tmp_path, work)


def test_a_shared_cost_follows_the_usage_of_its_day(tmp_path: Path) -> None:
    rows = [
        charge(1, Tags='{"team": "Ads"}', ConsumedQuantity=Decimal(100)),
        charge(2, Tags='{"team": "Search"}', ConsumedQuantity=Decimal(200)),
        charge(3, Tags='{"team": "Search"}', ConsumedQuantity=Decimal(999), ConsumedUnit="Requests"),
        charge(4, Tags='{"team": "Search"}', ConsumedQuantity=Decimal(999), ServiceName="Other"),
        charge(5, Tags='{"app": "gateway"}', ConsumedQuantity=Decimal(999)),  # shared itself
        spanning(6, 2, ServiceName="Pool", BilledCost=Decimal(2)),
    ]

    async def work(context: WorldContext) -> None:
        await charged(context, rows)
        await allocated(context)
        sql = f"SELECT * FROM {TABLE} WHERE service = 'Pool' ORDER BY usage_date, team"
        found = await asked(context, sql)
        second = FIRST + timedelta(days=1)
        assert [(row["usage_date"], row["team"], row["billed_cost"]) for row in found] == [
            (FIRST, "Ads", Decimal("0.333333333333")),
            (FIRST, "Search", Decimal("0.666666666667")),
            (second, None, 1),  # nobody used anything on this day
        ]
        assert [(row["allocation_usage_unit"], row["allocation_usage_quantity"]) for row in found] == [
            ("Tokens", 100),
            ("Tokens", 200),
            (None, None),
        ]

    world(RULES, tmp_path, work)


def test_a_rule_holds_on_its_days_only(tmp_path: Path) -> None:
    rules = f"""
  - {{name: first, to: "{FIRST}", when: {{accounts: [acc-1]}}, team: A}}
  - {{name: later, from: "{FIRST + timedelta(days=2)}", team: B}}
"""

    async def work(context: WorldContext) -> None:
        await charged(context, [spanning(1, 4, BilledCost=Decimal(4))])
        await allocated(context)
        assert await by_team(context) == {"A": 1, None: 1, "B": 2}

    world(rules, tmp_path, work)


def test_days_are_made_again_whichever_pipeline_wrote_them(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await charged(context, [spanning(1, 10, BilledCost=Decimal(1))])
        for day in (FIRST, FIRST, LAST):
            await allocated(context, day, day)
        context.pipeline_id = "acme-copy"
        await allocated(context, FIRST, FIRST)
        rows = await asked(context, f"SELECT usage_date, billed_cost FROM {TABLE} ORDER BY usage_date")
        everyone = [(FIRST + timedelta(days=n), Decimal("0.1")) for n in range(10)]
        assert [tuple(row.values()) for row in rows] == everyone, "days between those that were read are read too"

    world("", tmp_path, work)


def test_a_run_makes_days_again_whose_charges_are_newer_than_their_parts(tmp_path: Path) -> None:
    async def of_days(context: WorldContext, column: str) -> list[Any]:
        rows = await asked(context, f"SELECT usage_date, {column} AS value FROM {TABLE} ORDER BY usage_date")
        assert [row["usage_date"] for row in rows] == [FIRST + timedelta(days=n) for n in range(len(rows))]
        return [row["value"] for row in rows]

    async def work(context: WorldContext) -> None:
        later, earlier = datetime(2100, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)
        for n, cost in enumerate((2000, 4000, 6000)):  # a charge for a month that grows by the day
            context.clock.at = later
            await charged(context, [spanning(1, 20, BilledCost=Decimal(cost))])
            day = FIRST + timedelta(days=n)
            await allocated(context, day, day)
            assert await of_days(context, "billed_cost") == [cost / 20] * (n + 1)
        context.clock.at = earlier
        await charged(context, [spanning(1, 20, BilledCost=Decimal(6000))])
        runs = await of_days(context, "x_run_id")
        await allocated(context, FIRST + timedelta(days=3), FIRST + timedelta(days=3))
        assert await of_days(context, "x_run_id") == [*runs, context.run_id], "what is not newer stays"
        await charged(context, [])
        await allocated(context, LAST, LAST)
        assert await of_days(context, "billed_cost") == [], "a charge that is gone has no parts"

    world("", tmp_path, work)


@pytest.mark.parametrize("seed", range(4))
def test_parts_add_up_to_the_last_digit_and_each_is_its_share(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)

    def amount() -> Decimal:
        return Decimal(chance.randint(-(10**12), 10**15)).scaleb(-chance.choice((4, 6, 12, 18)))

    rows = [
        charge(
            number,
            **{metric: amount() for metric in METRICS.values()},
            Tags=chance.choice(['{"team": "Ads"}', '{"team": "Search"}', '{"app": "proxy"}', "{}"]),
            ServiceName=chance.choice(["OpenAI API", "Pool"]),
            ChargePeriodStart=f"{FIRST - timedelta(days=chance.randint(0, 40))}T{chance.randint(0, 23):02}:30:00Z",
            ChargePeriodEnd=f"{FIRST + timedelta(days=chance.randint(1, 40))}T00:00:0{chance.randint(0, 9)}Z",
        )
        for number in range(40)
    ]

    async def work(context: WorldContext) -> None:
        await charged(context, rows)
        middle = FIRST + timedelta(days=chance.randint(-5, 5))
        await allocated(context, FIRST - timedelta(days=50), middle)
        await allocated(context, middle + timedelta(days=1), FIRST + timedelta(days=50))
        parts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in await asked(context, f"SELECT * FROM {TABLE}"):
            parts[row["charge_id"]].append(row)
        for row in rows:
            mine = parts.pop(row["x_ChargeId"])
            for name, metric in METRICS.items():
                assert sum(part[name] for part in mine) == row[metric]
            ratios: dict[date, Decimal] = defaultdict(Decimal)
            for part in mine:
                ratios[part["usage_date"]] += part["allocation_ratio"]
                expected = row["BilledCost"] * part["allocation_ratio"]
                assert abs(part["billed_cost"]) <= abs(expected) + Decimal("0.000001")
            assert set(ratios.values()) == {1}
        assert not parts

    world(RULES, tmp_path, work)


TAGGED = "\n  - {name: tag, team_of_tag: team}\n"
ADS = '{"team": "Ads"}'


async def reported(context: WorldContext) -> dict[tuple[str, str], Decimal]:
    """What the report says by team and rule; the dashboard says the same by team, and both what FOCUS says."""
    rows = await asked(context, find_report(CONFIGS, "allocation").sql())
    (standard,) = await asked(context, f"SELECT COALESCE(SUM(BilledCost), 0) AS cost FROM {VISIBLE}")
    found = {(row["team"], row["rule"]): row["billed"] for row in rows}
    assert sum(found.values()) == standard["cost"]
    shown: dict[tuple[str, bool], Decimal] = defaultdict(Decimal)
    for (team, rule), cost in found.items():
        shown[team, rule != "(not read yet)"] += cost
    page = (await context.warehouse.query(ALLOCATED, days(FIRST, LAST))).rows
    assert {(row["team"], row["is_read"]): row["cost"] for row in page} == shown
    return found


def test_the_report_is_what_is_charged_whatever_unified_cost_has_read(tmp_path: Path) -> None:
    unread = ("", "(not read yet)")

    async def work(context: WorldContext) -> None:
        await charged(context, [charge(1, Tags=ADS, BilledCost=Decimal(10)), charge(2, x_ChargeId=None)])
        await allocated(context)
        assert await reported(context) == {("Ads", "tag"): 10, ("", ""): 6}
        await charged(context, [charge(3, Tags=ADS, BilledCost=Decimal(12)), charge(2, x_ChargeId=None)])
        assert await reported(context) == {unread: 12, ("", ""): 6}, "another id in its place"
        await allocated(context)
        await charged(context, [charge(3, Tags=ADS, BilledCost=Decimal(50))])
        assert await reported(context) == {("Ads", "tag"): 12, unread: 38}, "restated, and one gone"
        await charged(context, [charge(3, Tags=ADS, BilledCost=Decimal(12), BillingCurrency="EUR")])
        assert await reported(context) == {unread: 12}
        await charged(context, [])
        assert await reported(context) == {}

    world(TAGGED, tmp_path, work)


def test_the_report_has_the_days_of_a_charge_that_are_not_read_yet(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await charged(context, [spanning(1, 20, Tags=ADS, BilledCost=Decimal(2000))])
        await allocated(context, FIRST, FIRST)
        assert await reported(context) == {("Ads", "tag"): 100, ("", "(not read yet)"): 1900}
        await allocated(context, FIRST, FIRST + timedelta(days=20))
        assert await reported(context) == {("Ads", "tag"): 2000}
        columns = {name: [each.name for each in await context.warehouse.columns(name)] for name in (VISIBLE, TABLE)}
        sql = find_report(CONFIGS, "allocation").sql_of_days(Days(FIRST, FIRST), columns.__getitem__)
        (row,) = await asked(context, sql)
        assert (row["team"], row["billed"]) == ("Ads", 2000), "all parts of the charges that begin on the days"

    world(TAGGED, tmp_path, work)


@pytest.mark.parametrize(
    "quantity", ["1e-18", "1e-17", "1e-15", "1e-8", "0.1", "999999", "1e6", "1e13", "1.8e14", "5e18", "2e19"]
)
def test_usage_of_any_size_is_compared(quantity: str, tmp_path: Path) -> None:
    teams = [
        charge(
            number, Tags=f'{{"team": "T{number}"}}', BilledCost=Decimal(0), ConsumedQuantity=Decimal(quantity) * times
        )
        for number, times in ((1, 1), (2, 3))
    ]

    async def work(context: WorldContext) -> None:
        await charged(context, [*teams, charge(3, ServiceName="Pool", BilledCost=Decimal(8))])
        await allocated(context)
        assert await by_team(context) == {"T1": 2, "T2": 6}

    world("\n  - {name: pool, when: {services: [Pool]}, split_by_usage: {unit: Tokens}}" + TAGGED, tmp_path, work)
