"""A cost that two sources report counts once: whichever is published first, on replays, and when one goes again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from convergence.domain.billing_periods import PeriodKey
from convergence.errors import ConvergenceError, PeriodClosed
from convergence.processors.focus import precedence
from convergence.processors.focus.precedence import SUPERSEDED
from convergence.processors.focus.publish import publish
from tests.unit.processors.focus_charges import CANDIDATES, VISIBLE, asked, charge
from tests.unit.processors.precedence_claims import RULES, SECOND, Claim, bring, configs, costs, usage_of, world
from tests.unit.processors.step_world import FIRST, WorldContext

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
