"""A cost that two sources report counts once: whichever is published first, on replays, and when one goes again."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.domain.billing_periods import PeriodKey
from convergence.errors import ConvergenceError, PeriodClosed
from convergence.processors.focus import precedence
from convergence.processors.focus.precedence import SUPERSEDED
from convergence.processors.focus.publish import publish
from convergence.processors.focus.slices import Slice, slice_of
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge
from tests.unit.processors.step_world import CONFIGS, FIRST, ManualClock, WorldContext

SECOND = FIRST + timedelta(days=1)
RULES = """
precedence:
  - name: claude
    sources: [{provider: anthropic, services: [Anthropic API]}, {provider: aws, services: [Amazon Bedrock]},
              {provider: openai, services: [OpenAI API]}]
  - {name: google, sources: [{provider: vertex}, {provider: gcp}]}
  - {name: reseller, match: [month], from: 2026-11, to: 2026-11,
     sources: [{provider: oci, services: [Resold]}, {provider: azure, services: [Resold]}]}
"""
# Provider, service, account, day, cost: every source reports some of what others do, and something of its own.
Claim = tuple[str, str, str, date, int]
CLAIMS: dict[str, list[Claim]] = {
    "anthropic": [("anthropic", "Anthropic API", "a", FIRST, 1), ("anthropic", "Other", "a", SECOND, 2)],
    "aws": [
        ("aws", "Amazon Bedrock", "a", FIRST, 4),
        ("aws", "Amazon Bedrock", "a", FIRST, 8),
        ("aws", "Amazon Bedrock", "a", SECOND, 16),
        ("aws", "Amazon Bedrock", "b", FIRST, 32),
        ("aws", "Amazon S3", "a", FIRST, 64),
    ],
    "openai": [("openai", "OpenAI API", "a", FIRST, 128), ("openai", "OpenAI API", "a", SECOND, 256)],
}
RANKS = {("anthropic", "Anthropic API"): 0, ("aws", "Amazon Bedrock"): 1, ("openai", "OpenAI API"): 2}


def world(work: Callable[[WorldContext], Awaitable[Any]], folder: Path) -> None:
    """Run with the shipped registry and the rules above; Bedrock and what is resold are services of it."""

    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            await work(WorldContext(None, warehouse, clock, configs_dir=configs(folder, RULES)))
        finally:
            warehouse.close()

    asyncio.run(main())


def configs(folder: Path, rules: str) -> Path:
    (folder / "system").mkdir(exist_ok=True)
    registry = (CONFIGS / "system/providers.yml").read_text()
    registry = registry.replace("\n  oci:\n", "\n  oci:\n    services: [Resold]\n")
    registry = registry.replace("services: [Azure OpenAI, ", "services: [Resold, Azure OpenAI, ", 1)
    (folder / "system/providers.yml").write_text(registry)
    (folder / "system/precedence.yml").write_text(rules)
    for file in (CONFIGS / "focus/schemas").iterdir():
        (folder / "focus/schemas").mkdir(parents=True, exist_ok=True)
        if not (folder / "focus/schemas" / file.name).exists():
            shutil.copy(file, folder / "focus/schemas" / file.name)
    return folder


async def bring(context: WorldContext, source: str, claims: Sequence[Claim]) -> int:
    """Publish what a source has now."""
    context.pipeline_id, context.run_id = f"acme-{source}", f"{context.run_id}x"
    stage = context.warehouse.stage(CANDIDATES)
    rows = [
        charge(
            number,
            x_Provider=provider,
            ServiceName=service,
            BillingAccountId=account,
            x_ChargeId=f"{source}-{number}",
            BilledCost=Decimal(cost),
            ChargePeriodStart=f"{day}T00:00:00Z",
        )
        for number, (provider, service, account, day, cost) in enumerate(claims)
    ]
    await stage.write(0, rows)
    days = [FIRST + timedelta(days=number) for number in range(10)]
    await context.warehouse.load(stage, dates=days, date_field="ChargePeriodStart")
    return (await publish(context, CANDIDATES, VISIBLE, await usage_of(context, source))).rows


async def usage_of(context: WorldContext, provider: str) -> Slice:
    return await slice_of(context, CANDIDATES, VISIBLE, kind="usage", provider=provider)


async def costs(context: WorldContext, table: str) -> list[int]:
    return [int(row["BilledCost"]) for row in await asked(context, f"SELECT BilledCost FROM {table} ORDER BY 1")]


def expected(present: dict[str, list[Claim]]) -> tuple[list[int], list[int]]:
    """Return the costs that count and those that do not: for each account and day the first source that has any."""
    claims = [claim for each in present.values() for claim in each]
    counts: list[int] = []
    aside: list[int] = []
    for provider, service, account, day, cost in claims:
        rank = RANKS.get((provider, service))
        others = {RANKS.get(each[:2]) for each in claims if each[2:4] == (account, day)} - {None}
        (counts if rank is None or rank == min(others) else aside).append(cost)  # type: ignore[type-var]
    return sorted(counts), sorted(aside)


@pytest.mark.parametrize("order", list(itertools.permutations(CLAIMS)), ids="-".join)
def test_all_orders_of_arrival_give_the_same_tables(order: Sequence[str], tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        present: dict[str, list[Claim]] = {}

        async def step(source: str, claims: list[Claim]) -> None:
            present[source] = claims
            await bring(context, source, claims)
            found = (await costs(context, VISIBLE), await costs(context, SUPERSEDED))
            assert found == expected(present), (source, sorted(present))

        for source in order:
            await step(source, CLAIMS[source])
        assert found_total(present) == 511, "all costs are somewhere"
        await step(order[0], CLAIMS[order[0]])  # again, as after a replay
        await step("anthropic", [])  # the winner goes: the next source counts
        await step("aws", CLAIMS["aws"][2:])
        await step("anthropic", CLAIMS["anthropic"])

    world(work, tmp_path)


SLUG = "acme"  # of the org; it stands in for an account that is not known


@pytest.mark.parametrize(
    ("winner", "loser", "counting"),
    [
        ("a", "a", [1]),
        ("a", "b", [1, 4]),
        ("/providers/Microsoft.Billing/billingAccounts/A", "a", [1]),  # with and without the path of Azure
        (SLUG, "a", [1, 4]),  # nothing tells that the two are one account
        ("a", SLUG, [1]),  # one of the accounts that are billed
        (SLUG, SLUG, [1]),
    ],
)
def test_accounts_are_compared_where_both_are_known(
    winner: str, loser: str, counting: list[int], tmp_path: Path
) -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, "aws", [("aws", "Amazon Bedrock", loser, FIRST, 4)])
        await bring(context, "anthropic", [("anthropic", "Anthropic API", winner, FIRST, 1)])
        aside = [4] if 4 not in counting else []
        assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == (counting, aside)
        await bring(context, "anthropic", [])
        assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([4], [])

    world(work, tmp_path)


def found_total(present: dict[str, list[Claim]]) -> int:
    counts, aside = expected(present)
    return sum(counts) + sum(aside)


def test_the_reason_is_kept_and_all_columns_come_back_as_they_were(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, "aws", CLAIMS["aws"])
        before = await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId")
        await bring(context, "anthropic", CLAIMS["anthropic"])
        aside = await asked(context, f"SELECT * FROM {SUPERSEDED} ORDER BY x_ChargeId")
        reason = "rule claude: charges of anthropic count"
        assert aside == [{**row, "x_SupersededReason": reason} for row in before[:2]]
        await bring(context, "anthropic", [])
        assert await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId") == before

    world(work, tmp_path)


def test_without_services_those_of_one_name_are_compared_and_months_have_an_end(tmp_path: Path) -> None:
    late = date(2026, 11, 19)
    december = date(2026, 12, 1)

    async def work(context: WorldContext) -> None:
        await bring(
            context,
            "gcp",
            [
                ("gcp", "Vertex AI", "a", FIRST, 1),
                ("gcp", "BigQuery", "a", FIRST, 2),
                ("gcp", "Vertex AI", "b", FIRST, 4),
            ],
        )
        await bring(context, "vertex", [("vertex", "Vertex AI", "a", FIRST, 8)])
        assert await costs(context, VISIBLE) == [2, 4, 8]
        await bring(context, "azure", [("azure", "Resold", "x", FIRST, 16), ("azure", "Resold", "y", late, 32)])
        await bring(context, "oci", [("oci", "Resold", "z", SECOND, 64)])  # of another account: the month counts
        assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([2, 4, 8, 64], [1, 16, 32])
        context.start_date, context.end_date = december, december + timedelta(days=9)
        await bring(context, "azure", [])
        stage = context.warehouse.stage(CANDIDATES)
        row = charge(9, x_Provider="azure", ServiceName="Resold", BilledCost=Decimal(128))
        await stage.write(0, [{**row, "ChargePeriodStart": f"{december}T00:00:00Z"}])
        await context.warehouse.load(stage, dates=[december], date_field="ChargePeriodStart")
        await publish(context, CANDIDATES, VISIBLE, await usage_of(context, "azure"))
        assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([2, 4, 8, 64, 128], [1, 16, 32])

    world(work, tmp_path)


@pytest.mark.parametrize("failing", ["publishing", "tidying"])
def test_a_publication_that_stops_half_way_is_completed_by_the_next(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(context: WorldContext) -> None:
        def stop(_: precedence.Publication) -> str:
            raise ConvergenceError("the process dies here")

        await bring(context, "aws", CLAIMS["aws"])
        await bring(context, "anthropic", CLAIMS["anthropic"])
        before = sum(await costs(context, VISIBLE))
        for source, claims in (("anthropic", []), ("anthropic", CLAIMS["anthropic"])):
            with monkeypatch.context() as patched:
                patched.setattr(precedence, failing, stop)
                with pytest.raises(ConvergenceError, match="dies here"):
                    await bring(context, source, claims)
            done = failing == "tidying"
            after = sum(await costs(context, VISIBLE))
            counts, aside = expected({"aws": CLAIMS["aws"], source: claims})
            assert after == (sum(counts) if done else before), "at no time a cost counts twice"
            await bring(context, source, claims)
            assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == (counts, aside)
            before = sum(counts)

    world(work, tmp_path)


def test_a_folder_may_have_columns_of_its_own(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, "aws", CLAIMS["aws"])
        await bring(context, "anthropic", CLAIMS["anthropic"])
        (row, *_) = await asked(context, f"SELECT x_Own, x_SupersededReason FROM {SUPERSEDED}")
        assert row == {"x_Own": None, "x_SupersededReason": "rule claude: charges of anthropic count"}

    file = configs(tmp_path, RULES) / "focus/schemas/cost_data_standard_1_3.json"
    schema = json.loads(file.read_text())
    schema["fields"].append({"name": "x_Own", "type": "STRING", "mode": "NULLABLE"})
    own = tmp_path / "own"
    (own / "focus/schemas").mkdir(parents=True)
    (own / "focus/schemas/cost_data_standard_1_3.json").write_text(json.dumps(schema))
    world(work, own)


def test_a_charge_of_a_closed_period_is_not_superseded(tmp_path: Path) -> None:
    async def work(context: WorldContext) -> None:
        await bring(context, "aws", CLAIMS["aws"])
        before = await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId")
        context.closed = [PeriodKey(date(2026, 11, 1), "OpenAI", "a")]  # the issuer of these charges
        with pytest.raises(PeriodClosed, match="account a"):
            await bring(context, "anthropic", CLAIMS["anthropic"])
        assert await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId") == before
        assert await costs(context, SUPERSEDED) == []

    world(work, tmp_path)


def test_what_corrections_have_taken_back_claims_nothing(tmp_path: Path) -> None:
    """Anthropic had 12 in the closed November and takes them back; then AWS has 12 for the same, and 3 of its own."""
    winner: list[Claim] = [("anthropic", "Anthropic API", "a", FIRST, 5), ("anthropic", "Anthropic API", "a", FIRST, 7)]
    loser: list[Claim] = [("aws", "Amazon Bedrock", "a", FIRST, 12), ("aws", "Amazon S3", "a", FIRST, 3)]

    async def work(context: WorldContext) -> None:
        async def total() -> int:
            return sum(await costs(context, VISIBLE))

        await bring(context, "anthropic", winner)
        context.closed = [PeriodKey(date(2026, 11, 1), "OpenAI", "a")]  # the issuer of these charges
        await bring(context, "anthropic", [])
        assert await costs(context, VISIBLE) == [-7, -5, 5, 7]
        await bring(context, "aws", loser)
        assert (await total(), await costs(context, SUPERSEDED)) == (15, [])
        await bring(context, "anthropic", winner[:1])  # a part of it is back
        assert (await total(), await costs(context, SUPERSEDED)) == (8, [12])
        await bring(context, "anthropic", [])
        assert (await total(), await costs(context, SUPERSEDED)) == (15, [])
        await bring(context, "aws", [])
        assert await total() == 0

    world(work, tmp_path)


def test_a_charge_of_a_closed_period_does_not_come_back_from_another_sources_run(tmp_path: Path) -> None:
    """Only a source's own charges become corrections: whose cost it is stays what was closed."""

    async def work(context: WorldContext) -> None:
        await bring(context, "aws", CLAIMS["aws"])
        await bring(context, "anthropic", CLAIMS["anthropic"])
        before = await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId")
        context.closed = [PeriodKey(date(2026, 11, 1), "OpenAI", "a")]
        with pytest.raises(PeriodClosed, match="convergence period reopen"):
            await bring(context, "anthropic", [])
        assert await asked(context, f"SELECT * FROM {VISIBLE} ORDER BY x_ChargeId") == before
        context.closed = []
        await bring(context, "anthropic", [])
        assert await costs(context, VISIBLE) == [4, 8, 16, 32, 64]

    world(work, tmp_path)


ENTERPRISE = "/providers/Microsoft.Billing/billingAccounts/B-1"
SHIPPED: dict[str, dict[str, list[Claim]]] = {
    "azure_openai": {  # the pipeline reads one resource of two, and a second day that is not in the bill yet
        "azure": [("azure", "Azure OpenAI", ENTERPRISE, FIRST, 30), ("azure", "Storage", ENTERPRISE, FIRST, 2)],
        "azure_openai": [
            ("azure_openai", "Azure OpenAI", "b-1", FIRST, 10),
            ("azure_openai", "Azure OpenAI", "b-1", SECOND, 5),
            ("azure_openai", "Azure OpenAI", "b-2", FIRST, 7),
        ],
    },
    "bedrock": {  # a gateway's file has the list price of what AWS bills, and what another account pays for
        "aws": [("aws", "Amazon Bedrock", "1", FIRST, 30), ("aws", "Amazon S3", "1", FIRST, 2)],
        "focus": [
            ("focus", "Amazon Bedrock", "1", FIRST, 10),
            ("focus", "Amazon Bedrock", "1", SECOND, 5),
            ("focus", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "bedrock: editions": {  # what AWS calls models of others
        "aws": [
            ("aws", "Claude 3.5 Sonnet (Amazon Bedrock Edition)", "1", FIRST, 30),
            ("aws", "Claude", "1", FIRST, 2),
        ],
        "focus": [
            ("focus", "Amazon Bedrock", "1", FIRST, 10),
            ("focus", "Claude 3 (Amazon Bedrock Edition)", "1", SECOND, 5),
            ("focus", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "azure_openai: cognitive": {
        "azure": [("azure", "Cognitive Services", "b-1", FIRST, 30), ("azure", "Storage", "b-1", FIRST, 2)],
        "azure_openai": [
            ("azure_openai", "Azure OpenAI", "b-1", FIRST, 10),
            ("azure_openai", "Azure OpenAI", "b-1", SECOND, 5),
            ("azure_openai", "Azure OpenAI", "b-2", FIRST, 7),
        ],
    },
    "bedrock_commitments": {  # a bill that has the purchase counts for the whole month
        "aws": [("aws", "Claude 3.5 Sonnet (Amazon Bedrock Edition)", "1", SECOND, 30), ("aws", "S3", "1", FIRST, 2)],
        "commitment": [
            ("commitment", "Amazon Bedrock", "1", FIRST, 10),
            ("commitment", "Amazon Bedrock", "2", SECOND, 5),
            ("commitment", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "azure_commitments_in_files": {
        "focus": [("focus", "Cognitive Services", "1", SECOND, 30), ("focus", "Storage", "1", FIRST, 2)],
        "commitment": [
            ("commitment", "Azure OpenAI", "1", FIRST, 10),
            ("commitment", "Azure OpenAI", "2", SECOND, 5),
            ("commitment", "Azure OpenAI", "2", FIRST, 7),
        ],
    },
    "google_ai": {
        "gcp": [("gcp", "Vertex AI", "g", FIRST, 30), ("gcp", "Compute Engine", "g", FIRST, 2)],
        "vertex": [
            ("vertex", "Vertex AI", "g", FIRST, 10),
            ("vertex", "Vertex AI", "g", SECOND, 5),
            ("vertex", "Vertex AI", "h", FIRST, 7),
        ],
    },
}


@pytest.mark.parametrize("rule", SHIPPED)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_shipped_rules_count_what_the_bill_has_once(rule: str, reverse: bool) -> None:
    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            sources = sorted(SHIPPED[rule].items(), reverse=reverse)
            for source, claims in sources:
                await bring(context, source, claims)
            assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([2, 5, 7, 30], [10])
            (reason,) = await asked(context, f"SELECT x_SupersededReason AS reason FROM {SUPERSEDED}")
            bill = min(
                SHIPPED[rule], key=["azure", "aws", "gcp", "focus", "azure_openai", "vertex", "commitment"].index
            )
            assert reason["reason"] == f"rule {rule.split(':', maxsplit=1)[0]}: charges of {bill} count"
            await bring(context, bill, [])
            assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([5, 7, 10], [])
        finally:
            warehouse.close()

    asyncio.run(main())
